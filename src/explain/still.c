/*
 * Looking at a process that sleeps: everything is read while it is free to run, and then it is
 * proven that it did not.
 *
 * A first stop, as short as a stop can be, tells the threads' registers: whose tcaches and stacks
 * there are. A second one proves that no thread has run since (target/stillness.h), that no page
 * came or went, and that no thread sleeps inside malloc. So the pause does not grow with the heap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "explain/look.h"
#include "target/stillness.h"

/* One more than once: on a busy machine a sleeper may be preempted on its way to the stop, which
 * counts as if it had run. */
enum { TRIES = 2 };

/* What is smaller than this is walked inside one stop in less time than two stops would take. */
#define SMALL_BYTES (UINT64_C(8) << 20)

void look_take_back(struct look *look, size_t refusals)
{
    struct explanation *out = look->out;

    look_close_heap(look);
    tally_close(&out->tally);
    out->ledger = (struct ledger){{0}};
    out->trim = (struct trim_prediction){0};
    out->refusals.count = refusals;
    free(look->pieces.items);
    look->pieces = (struct unexplained_pieces){0};
    look->read_still = false;
}

/* Registers of all threads, their stacks, and the mappings. */
static int glance(struct look *look, struct why *why)
{
    int r = target_stop(&look->target, why);

    if (r)
        return r;
    r = look_at_mappings(look, why);
    target_resume(&look->target);
    return r;
}

static bool is_same_map(const struct maps *a, const struct maps *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].range.start != b->items[i].range.start ||
            a->items[i].range.end != b->items[i].range.end ||
            a->items[i].inode != b->items[i].inode || a->items[i].writable != b->items[i].writable)
            return false;
    return true;
}

/* Between the first stop and the moment from which on it is watched, it may have run. */
static int check_mappings(struct look *look, struct why *why)
{
    struct maps maps = {0};
    int r = maps_read(look->procfs, look->pid, &maps, why);

    if (r == 0 && !is_same_map(&maps, &look->maps))
        r = why_set(why, OUTCOME_TORN, "its mappings change");
    maps_free(&maps);
    return r;
}

/* The stack pointers, too, must be what they were at the first stop. */
static bool has_same_threads(const struct look *look)
{
    const struct target *target = &look->target;

    if (target->thread_count != look->thread_count)
        return false;
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct heap_thread *before = &look->threads[i];
        const struct user_regs_struct *now = &target->threads[i].registers;

        if (target->threads[i].tid != before->tid || now->fs_base != before->thread_pointer ||
            now->rsp != before->registers.value[7])
            return false;
    }
    return true;
}

/* The proof, made while the process is stopped. */
static int prove(struct look *look, const struct stillness *stillness, bool *ret_ran,
                 struct why *why)
{
    struct rss now;
    int r;

    *ret_ran = !stillness_held(stillness, &look->target) || !has_same_threads(look);
    if (*ret_ran)
        return why_set(why, OUTCOME_TORN, "it ran while it was looked at");
    r = rss_read(look->procfs, look->pid, look->rss_source, &now, why);
    if (r)
        return r;
    if (now.rss_bytes != look->out->rss.rss_bytes)
        return why_set(why, OUTCOME_TORN, "the kernel moved its pages while it was looked at");
    r = look_take_registers(look);
    return r || !look->heap ? r : look_heap_settled(look, why);
}

/* Asked now and thrown away: what the answer needs of the images is then at hand in the stop. */
static int prepare(struct look *look, struct why *why)
{
    int r = look->heap ? look_heap_settled(look, why) : 0;

    return r < 0 ? r : 0;
}

static int read_all(struct look *look, struct why *why)
{
    int r = check_mappings(look, why);

    if (r == 0)
        r = look_open_heap(look, false, why);
    if (r == 0)
        r = prepare(look, why);
    return r ? r : look_account(look, why);
}

static int look_and_prove(struct look *look, bool *ret_ran, struct why *why)
{
    struct stillness stillness;
    int r = stillness_begin(look->procfs, look->pid, &stillness, why);

    if (r)
        return r;
    look->read_still = true;
    r = read_all(look, why);
    *ret_ran = r == 0 && !stillness_lasts(&stillness, look->procfs, look->pid);
    if (*ret_ran)
        r = why_set(why, OUTCOME_TORN, "it ran while it was looked at");
    if (r == 0)
        r = target_stop(&look->target, why);
    if (r == 0)
        r = prove(look, &stillness, ret_ran, why);
    stillness_free(&stillness);
    return r;
}

bool look_is_large(struct look *look, uint64_t bytes)
{
    struct rss rss;

    return look->target.has_memory && !look->options.no_stop &&
           rss_read(look->procfs, look->pid, look->rss_source, &rss, NULL) == 0 &&
           rss.anon_bytes >= bytes;
}

static int try(struct look *look, bool *ret_ran, struct why *why)
{
    size_t refusals = look->out->refusals.count;
    int r = glance(look, why);

    *ret_ran = false;
    if (r == 0)
        r = look_and_prove(look, ret_ran, why);
    if (r == 0)
        return 0;
    target_resume(&look->target);
    look_take_back(look, refusals);
    return r;
}

int look_when_still(struct look *look, struct why *why)
{
    bool ran = true;
    int r;

    if (!look_is_large(look, SMALL_BYTES))
        return OUTCOME_NOT_POSSIBLE;
    r = look_at_mappings(look, why);
    if (r)
        return r;
    for (unsigned i = 0; i < TRIES && ran; i++)
        r = try(look, &ran, why);
    return r;
}
