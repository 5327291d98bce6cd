#include "inject/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "inject/filters.h"
#include "inject/internal.h"
#include "inject/journal.h"
#include "inject/wire.h"

struct opening {
    struct injection *injection;
    const struct maps *maps;
    struct why *why;
};

static int choose(void *context)
{
    struct opening *opening = context;

    return choose_thread(opening->injection, opening->maps, opening->why);
}

int injection_open(struct injection **ret, struct target *target, const struct maps *maps,
                   struct why *why)
{
    struct injection *injection = calloc(1, sizeof *injection);
    struct opening opening = {injection, maps, why};
    int r;

    if (!injection)
        return why_set(why, -ENOMEM, "no memory to borrow a thread");
    injection->target = target;
    if (!target->stopped || !target->has_memory)
        r = why_set(why, -EINVAL, "process %d must be stopped, and its memory open",
                    (int)target->pid);
    else
        r = find_code(target, maps, &injection->code, why);
    if (r == 0)
        r = target_on_tracer(target, choose, &opening);
    if (r)
        injection_close(injection);
    else
        *ret = injection;
    return r;
}

void injection_close(struct injection *injection)
{
    if (!injection)
        return;
    free(injection->home.state);
    filters_free(injection->filters);
    free(injection);
}

pid_t injection_thread(const struct injection *injection)
{
    return injection->thread->tid;
}

remote_addr injection_data_at(const struct injection *injection, size_t count, size_t length)
{
    struct arch_layout layout;

    return arch_lay_out(injection->room.end, injection->home.state_size, length, count, &layout)
               ? layout.data
               : 0;
}

/* What lies there is dead; but it is put back where it was present, so that nothing at all has
 * changed. */
static int keep_what_is_there(struct run *run)
{
    struct memory *memory = &run->injection->target->memory.memory;
    remote_addr start = align_down(run->layout.start, PAGE_BYTES);
    size_t pages = (size_t)((align_up(run->layout.end, PAGE_BYTES) - start) / PAGE_BYTES);
    int r;

    run->flags = malloc(pages);
    run->before = malloc(pages * PAGE_BYTES);
    if (!run->flags || !run->before)
        return why_set(run->why, -ENOMEM, "no memory for a piece of stack");
    r = memory_page_flags(memory, start, pages, run->flags, run->why);
    return r ? r : memory_read_pages(memory, start, pages, run->flags, run->before, run->why);
}

static void put_back(struct run *run)
{
    remote_addr page = align_down(run->layout.start, PAGE_BYTES);

    for (size_t i = 0; page < run->layout.end; i++, page += PAGE_BYTES) {
        remote_addr from = page > run->layout.start ? page : run->layout.start;
        remote_addr to = page + PAGE_BYTES < run->layout.end ? page + PAGE_BYTES : run->layout.end;

        if ((run->flags[i] & PAGE_PRESENT) && !(run->flags[i] & PAGE_UNREADABLE) &&
            wire_write(run->injection->target, from, run->before + i * PAGE_BYTES + (from - page),
                       to - from))
            return; /* it is dead all the same */
    }
}

static int fetch_data(struct run *run, void *data, size_t length)
{
    return length ? memory_read(&run->injection->target->memory.memory, run->layout.data, data,
                                length, run->why)
                  : 0;
}

static void build(struct run *run, const void *data, size_t length)
{
    const struct injection *injection = run->injection;
    for (size_t i = 0; i < run->count; i++) {
        run->made[i].number = run->calls[i].number;
        memcpy(run->made[i].arguments, run->calls[i].arguments, sizeof run->made[i].arguments);
        run->calls[i].made = false;
    }
    if (length)
        memcpy(run->image + (run->layout.data - run->layout.start), data, length);
    arch_build(run->image, &run->layout, &injection->code, &injection->home, run->made, run->count);
}

/* Each call as the filters will see it, those that lead from one to the next included: they come
 * with the arguments that the one before left. */
static int ask_filters(const struct run *run)
{
    const struct injection *injection = run->injection;
    const struct user_regs_struct entry =
        arch_entry(&run->layout, &injection->code, &injection->home);
    struct arch_call sigreturn = arch_sigreturn(&entry);
    int r = filters_allow(injection->filters, &sigreturn, injection->code.after_call, run->why);

    for (size_t i = 0; i < run->count && r == 0; i++) {
        struct arch_call call = {.number = run->calls[i].number};

        memcpy(call.arguments, run->calls[i].arguments, sizeof call.arguments);
        r = filters_allow(injection->filters, &call, injection->code.after_call, run->why);
        memcpy(sigreturn.arguments, call.arguments, sizeof call.arguments);
        if (r == 0)
            r = filters_allow(injection->filters, &sigreturn, injection->code.after_sigreturn,
                              run->why);
    }
    return r > 0
               ? why_prefix(run->why, r, "process %d (%s): thread %d", (int)injection->target->pid,
                            injection->target->status.comm, (int)injection->thread->tid)
               : r;
}

static int prepare(struct run *run, const void *data, size_t length)
{
    const struct injection *injection = run->injection;
    const struct target *target = injection->target;
    int r;

    if (!target->stopped || injection->lost)
        return why_set(run->why, -EINVAL, "process %d is no longer held as it was",
                       (int)target->pid);
    if (run->count == 0 || run->count > INJECTION_CALLS_MOST || length > INJECTION_DATA_MOST)
        return why_set(run->why, -EINVAL, "a chain of %zu calls with %zu bytes cannot be made",
                       run->count, length);
    if (!arch_lay_out(injection->room.end, injection->home.state_size, length, run->count,
                      &run->layout) ||
        run->layout.start < injection->room.start)
        return why_set(
            run->why, OUTCOME_NOT_POSSIBLE,
            "the stack of thread %d of process %d (%s) has too little room for what a call takes",
            (int)injection->thread->tid, (int)target->pid, target->status.comm);
    r = ask_filters(run);
    if (r)
        return r;
    run->image = calloc(1, (size_t)(run->layout.end - run->layout.start));
    if (!run->image)
        return why_set(run->why, -ENOMEM, "no memory for a chain of calls");
    build(run, data, length);
    return keep_what_is_there(run);
}

static int run_on_tracer(void *context)
{
    return run_chain(context);
}

static void run_free(struct run *run)
{
    free(run->image);
    free(run->before);
    free(run->flags);
}

int injection_call(struct injection *injection, struct remote_call *calls, size_t count, void *data,
                   size_t length, struct why *why)
{
    cleanup(run_free) struct run run = {
        .injection = injection, .calls = calls, .count = count, .why = why};
    int r = prepare(&run, data, length);

    for (size_t i = 0; r == 0 && i < count; i++)
        journal_call(injection->target, &calls[i]);
    if (r == 0)
        r = target_on_tracer(injection->target, run_on_tracer, &run);
    if (r == 0)
        r = fetch_data(&run, data, length);
    if (r == 0 || r == -EAGAIN)
        put_back(&run);
    return r;
}
