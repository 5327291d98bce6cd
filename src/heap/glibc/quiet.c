#include "heap/glibc/quiet.h"

#include <inttypes.h>

/* malloc.c's exported functions. The internal ones lie between and around them: one object file. */
static const char *const entry_points[] = {
    "malloc",   "free",      "calloc",         "realloc",     "memalign",        "aligned_alloc",
    "valloc",   "pvalloc",   "posix_memalign", "malloc_trim", "malloc_stats",    "malloc_info",
    "mallinfo", "mallinfo2", "mallopt",        "cfree",       "__libc_memalign",
};

enum { NEAR_BYTES = 1 << 15 };

/* The code of malloc.c, as far as it can be known without symbols. */
struct malloc_code {
    struct elf_image *image;
    struct range exported; /* from the first to the last exported function */
    struct range all;      /* widened by the functions nearby that refer to main_arena or mp_ */
};

static void include_range(struct range *to, struct range add)
{
    if (to->start == to->end) {
        *to = add;
        return;
    }
    if (add.start < to->start)
        to->start = add.start;
    if (add.end > to->end)
        to->end = add.end;
}

static void include_function(struct elf_image *image, remote_addr address, struct range *to)
{
    struct range function;

    if (elf_function_at(image, address, &function) == 0)
        include_range(to, function);
}

/* main_arena and mp_ are static: whatever refers to them belongs to malloc.c. Far hits are chance.
 */
static int include_reference(void *context, remote_addr where)
{
    struct malloc_code *code = context;

    if (where + NEAR_BYTES >= code->exported.start && where < code->exported.end + NEAR_BYTES)
        include_function(code->image, where, &code->all);
    return 0;
}

static int find_malloc_code(const struct glibc *glibc, struct malloc_code *ret, struct why *why)
{
    struct malloc_code code = {.image = glibc->image};
    struct range arena = {glibc->main_arena, glibc->main_arena + glibc->state->size};
    struct range par = {glibc->mp, glibc->mp + glibc->par->size};
    int r;

    if (!code.image || !code.image->elf)
        return why_set(why, OUTCOME_TORN,
                       "malloc's code could not be read, so its only thread may be inside it");
    for (size_t i = 0; i < sizeof entry_points / sizeof *entry_points; i++) {
        remote_addr address;

        if (elf_dynamic_symbol(code.image, entry_points[i], &address, NULL) == 0)
            include_function(code.image, address, &code.exported);
    }
    if (code.exported.start == code.exported.end)
        return why_set(why, OUTCOME_TORN,
                       "malloc is not exported by %s, so its only thread may be inside it",
                       code.image->path);
    code.all = code.exported;
    r = elf_each_reference(code.image, arena, include_reference, &code);
    if (r == 0)
        r = elf_each_reference(code.image, par, include_reference, &code);
    if (r == 0)
        *ret = code;
    return r;
}

static int leave_if_inside(void *context, remote_addr pc)
{
    const struct malloc_code *code = context;

    return range_has(code->all, pc);
}

static int check_thread(const struct heap_view *view, const struct heap_thread *thread,
                        struct malloc_code *code, struct why *why)
{
    struct why missing = {{0}};

    /* A worker of the kernel's (io_uring) has no user state and never runs user code. */
    if (!thread->registers.value[16] && !thread->registers.value[7])
        return 0;
    switch (
        unwind(view->images, view->memory, thread->registers, leave_if_inside, code, &missing)) {
    case UNWIND_COMPLETE:
        return 0;
    case UNWIND_STOPPED:
        return why_set(why, OUTCOME_TORN, "thread %d is inside malloc", (int)thread->tid);
    case UNWIND_INCOMPLETE:
        break;
    }
    return why_set(why, OUTCOME_TORN, "thread %d could not be shown to be outside malloc (%s)",
                   (int)thread->tid, missing.text);
}

/*
 * The flag that malloc itself tests (exported since 2.32). Where it cannot be read, one thread
 * counts as "takes no lock", several as "takes locks": a second thread clears the flag for good.
 */
static bool takes_no_lock(const struct heap_view *view, const struct glibc *glibc)
{
    remote_addr flag;
    uint8_t value;

    if (glibc->image &&
        elf_dynamic_symbol(glibc->image, "__libc_single_threaded", &flag, NULL) == 0 &&
        memory_read(view->memory, flag, &value, 1, NULL) == 0)
        return value != 0;
    return view->thread_count == 1;
}

static int check_locks(const struct glibc *glibc, struct why *why)
{
    for (size_t i = 0; i < glibc->heap.arenas.count; i++)
        if (glibc->heap.arenas.items[i].locked)
            return why_set(why, OUTCOME_TORN, "a thread holds the lock of the arena at 0x%" PRIx64,
                           glibc->heap.arenas.items[i].address);
    return 0;
}

int glibc_is_quiet(const struct heap_view *view, const struct glibc *glibc, struct why *why)
{
    struct malloc_code code;
    int r = check_locks(glibc, why);

    if (r || !takes_no_lock(view, glibc))
        return r;
    if (!view->threads)
        return why_set(why, OUTCOME_TORN, "its threads were not stopped");
    r = find_malloc_code(glibc, &code, why);
    for (size_t i = 0; r == 0 && i < view->thread_count; i++)
        r = check_thread(view, &view->threads[i], &code, why);
    return r;
}
