#include "target/stacks.h"

#include <errno.h>
#include <string.h>

#include "base/vector.h"
#include "target/descriptor.h"
#include "target/ended.h"

static const struct vma *find_main_stack(const struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        if (strcmp(maps->items[i].name, "[stack]") == 0)
            return &maps->items[i];
    return NULL;
}

static int add(struct thread_stacks *stacks, const struct target_thread *thread, struct range range)
{
    struct thread_stack stack = {.range = range, .tid = thread->tid};

    if (thread->has_registers) {
        stack.sp = thread->registers.rsp;
        stack.sp_inside = range_has(range, stack.sp);
    }
    return vector_push(stacks, stack);
}

/* 0; 1: not found; negative errno. */
static int add_described(struct target *target, const struct maps *maps,
                         const struct target_thread *thread, struct thread_stacks *stacks,
                         struct why *why)
{
    struct range range;
    int r;

    if (!thread->has_registers || !target->has_memory)
        return 1;
    r = descriptor_find_stack(&target->memory.memory, maps, thread->registers.fs_base,
                              thread->registers.rsp, &range, why);
    if (r)
        return r < 0 ? r : 1;
    return add(stacks, thread, range);
}

/*
 * A child forked by a thread other than the first goes on upon that thread's stack: the main stack
 * is there still, and nothing runs on it.
 */
static int add_leader(struct target *target, const struct maps *maps,
                      const struct target_thread *thread, struct thread_stacks *stacks,
                      struct why *why)
{
    const struct vma *main_stack = find_main_stack(maps);
    int r = main_stack ? add(stacks, thread, main_stack->range) : 0;

    if (r || (main_stack && stacks->items[stacks->count - 1].sp_inside))
        return r;
    r = add_described(target, maps, thread, stacks, why);
    return r == 1 && main_stack ? 0 : r;
}

static int by_start(const void *a, const void *b)
{
    remote_addr x = ((const struct thread_stack *)a)->range.start;
    remote_addr y = ((const struct thread_stack *)b)->range.start;

    return (x > y) - (x < y);
}

/*
 * Threads made by a bare clone() may share another's thread pointer, and so its descriptor: the
 * stack is the one's whose stack pointer lies in it.
 */
static void drop_overlaps(struct thread_stacks *stacks)
{
    size_t kept = 0;

    if (stacks->count > 1)
        qsort(stacks->items, stacks->count, sizeof *stacks->items, by_start);
    for (size_t i = 0; i < stacks->count; i++) {
        struct thread_stack *last = kept ? &stacks->items[kept - 1] : NULL;

        if (!last || !ranges_overlap(last->range, stacks->items[i].range)) {
            stacks->items[kept++] = stacks->items[i];
            continue;
        }
        if (last->ended || stacks->items[i].ended) { /* what lives prevails */
            *last = last->ended ? stacks->items[i] : *last;
            continue;
        }
        if (!last->sp_inside && stacks->items[i].sp_inside)
            *last = stacks->items[i];
        stacks->unknown++;
    }
    stacks->count = kept;
}

static int add_ended(struct target *target, const struct maps *maps, struct thread_stacks *stacks,
                     struct why *why)
{
    struct ended_view view = {.memory = &target->memory.memory,
                              .maps = maps,
                              .threads = target->threads,
                              .thread_count = target->thread_count,
                              .leader = target->pid};

    return ended_stacks_find(&view, stacks, why);
}

int thread_stacks_find(struct target *target, const struct maps *maps, struct thread_stacks *ret,
                       struct why *why)
{
    struct thread_stacks stacks = {0};
    int r;

    if (!target->stopped)
        return why_set(why, -EINVAL, "process %d must be stopped to find its stacks",
                       (int)target->pid);
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];

        r = thread->tid == target->pid ? add_leader(target, maps, thread, &stacks, why)
                                       : add_described(target, maps, thread, &stacks, why);
        if (r < 0) {
            free(stacks.items);
            return r;
        }
        stacks.unknown += r == 1;
    }
    r = target->has_memory ? add_ended(target, maps, &stacks, why) : 0;
    if (r < 0) {
        free(stacks.items);
        return r;
    }
    drop_overlaps(&stacks);
    *ret = stacks;
    return 0;
}
