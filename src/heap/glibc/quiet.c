#include "heap/glibc/quiet.h"

#include <inttypes.h>

#include "heap/glibc/code.h"

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
static int learn(const struct glibc *glibc, const struct glibc_instance *instance,
                 struct malloc_memo *memo)
{
    int r = 0;

    if (memo->code_known)
        return 0;
    memo->single_threaded = 0;
    memo->code = (struct range){0, 0};
    if (instance->image)
        r = elf_dynamic_symbol(instance->image, "__libc_single_threaded", &memo->single_threaded,
                               NULL);
    if (r)
        memo->single_threaded = 0;
    r = glibc_find_code(glibc, instance, &memo->code, &memo->why);
    if (r < 0)
        return r;
    memo->code_known = true;
    return 0;
}

/*
 * The flag that malloc itself tests (exported since 2.32). Where it cannot be read, one thread
 * counts as "takes no lock", several as "takes locks": a second thread clears the flag for good. In
 * namespaces other than the program's it never stood.
 */
static bool takes_no_lock(const struct heap_view *view, const struct malloc_memo *memo)
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

static int check_instance(const struct heap_view *view, const struct glibc *glibc,
                          const struct glibc_instance *instance, struct why *why)
{
    struct malloc_memo own = {0}, *kept = glibc_memo_of(view, instance);
    struct malloc_memo *memo = kept ? kept : &own;
    int r = learn(glibc, instance, memo);

    if (r || !takes_no_lock(view, memo))
        return r;
    if (!view->threads)
        return why_set(why, OUTCOME_TORN, "its threads were not stopped");
    if (memo->code.start == memo->code.end)
        return why_set(why, OUTCOME_TORN, "%s", memo->why.text);
    for (size_t i = 0; r == 0 && i < view->thread_count; i++)
        r = check_thread(view, &view->threads[i], &memo->code, why);
    return r;
}

int glibc_is_quiet(const struct heap_view *view, const struct glibc *glibc, struct why *why)
{
    int r = check_locks(view, glibc, why);

    for (size_t i = 0; r == 0 && i < glibc->instance_count; i++)
        r = check_instance(view, glibc, &glibc->instances[i], why);
    return r;
}
