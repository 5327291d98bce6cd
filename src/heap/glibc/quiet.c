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

static int find_malloc_code(const struct glibc *glibc, struct range *ret, struct why *why)
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
        *ret = code.all;
    return r;
}

static int leave_if_inside(void *context, remote_addr pc)
{
    return range_has(*(const struct range *)context, pc);
}

static int check_thread(const struct heap_view *view, const struct heap_thread *thread,
                        struct range *code, struct why *why)
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

/* Symbols and references take a while to look up: a millisecond or two, which a stop can do
 * without. */
static int learn(const struct heap_view *view, const struct glibc *glibc, struct heap_memo *memo)
{
    int r = 0;

    if (memo->code_of == glibc->main_arena)
        return 0;
    memo->single_threaded = 0;
    memo->malloc_code = (struct range){0, 0};
    if (glibc->image)
        r = elf_dynamic_symbol(glibc->image, "__libc_single_threaded", &memo->single_threaded,
                               NULL);
    if (r)
        memo->single_threaded = 0;
    r = find_malloc_code(glibc, &memo->malloc_code, &memo->why);
    if (r < 0)
        return r;
    memo->code_of = glibc->main_arena;
    return 0;
}

/*
 * The flag that malloc itself tests (exported since 2.32). Where it cannot be read, one thread
 * counts as "takes no lock", several as "takes locks": a second thread clears the flag for good.
 */
static bool takes_no_lock(const struct heap_view *view, const struct heap_memo *memo)
{
    uint8_t value;

    if (memo->single_threaded &&
        memory_read(view->memory, memo->single_threaded, &value, 1, NULL) == 0)
        return value != 0;
    return view->thread_count == 1;
}

/* As they are now, which may be later than the arenas were read. */
static int check_locks(const struct heap_view *view, const struct glibc *glibc, struct why *why)
{
    for (size_t i = 0; i < glibc->heap.arenas.count; i++) {
        remote_addr arena = glibc->heap.arenas.items[i].address;
        uint64_t lock;
        int r = memory_read_u64(view->memory, arena, &lock, why);

        if (r)
            return r;
        if ((uint32_t)lock)
            return why_set(why, OUTCOME_TORN, "a thread holds the lock of the arena at 0x%" PRIx64,
                           arena);
    }
    return 0;
}

int glibc_is_quiet(const struct heap_view *view, const struct glibc *glibc, struct why *why)
{
    struct heap_memo own = {0}, *memo = view->memo ? view->memo : &own;
    int r = check_locks(view, glibc, why);

    if (r == 0)
        r = learn(view, glibc, memo);
    if (r || !takes_no_lock(view, memo))
        return r;
    if (!view->threads)
        return why_set(why, OUTCOME_TORN, "its threads were not stopped");
    if (memo->malloc_code.start == memo->malloc_code.end)
        return why_set(why, OUTCOME_TORN, "%s", memo->why.text);
    for (size_t i = 0; r == 0 && i < view->thread_count; i++)
        r = check_thread(view, &view->threads[i], &memo->malloc_code, why);
    return r;
}
