#include "cure/free-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "cure/points.h"

enum { BATCH_MOST = 16, BATCH_FIRST = 2, PERCENT_AIMED_AT = 70 };

static const uint8_t zeros[HUGE_BYTES]; /* never touched: the kernel's zero page */

/* A block on its way. */
struct step {
    remote_addr address;
    struct block_pages before; /* resident and this process' alone before anything was done */
    struct block_pages zeroed; /* proven free, and overwritten */
    uint16_t predicted;
    bool was_huge, huge; /* it was a huge page when we came; it is one now */
};

struct batch {
    struct look *look;
    struct step steps[BATCH_MOST];
    size_t count;
    struct free_chunks chunks;     /* of the stop */
    struct range next[BATCH_MOST]; /* the blocks of the next one, or more */
    size_t next_count;
    struct read_hints *hints;
    uint64_t proof_ns; /* what stopping and listing took, the last time */
    struct why *why;
};

static const char *no_new_huge_pages(const struct look *look)
{
    if (look->target.status.thp_enabled == 0)
        return "the process has no huge pages (PR_SET_THP_DISABLE), by which the kernel takes them";
    if (!can_make_huge_pages(look->procfs))
        return "this kernel makes no huge pages when asked (MADV_COLLAPSE), by which it takes them";
    return NULL;
}

/* Takes over the chunks; page states are asked for when the process runs again. */
static int plan(struct look *look, const struct cure_places *places,
                const struct cure_limits *limits, const struct free_chunks *chunks,
                struct free_pages *ret, struct cure_outcome *outcome, struct why *why)
{
    struct free_plan_view view = {.chunks = chunks,
                                  .places = places,
                                  .memory = &look->target.memory.memory,
                                  .no_new_huge_pages = no_new_huge_pages(look),
                                  .split_percent = limits->split_percent};

    return free_pages_plan(&view, &ret->plan, outcome, why);
}

/* What is no error of residue's, but that it cannot be done, is the outcome's. */
static int keep(struct cure_outcome *outcome, int error)
{
    if (error == -ESRCH || error == -ENOMEM)
        return error;
    outcome->error = error;
    return 0;
}

static int list_once(struct look *look, struct free_pages *pages, struct free_chunks *ret,
                     struct why *why)
{
    struct free_query query = {.hints = &pages->hints};
    int r = heap_stop_prepare(look, &pages->hints, why);

    if (r == 0)
        r = heap_stop(look, &query, ret, why);
    if (r)
        return r;
    heap_resume(look);
    return 0;
}

void free_pages_forget(struct free_pages *pages)
{
    free(pages->plan.items);
    read_hints_free(&pages->hints);
    *pages = (struct free_pages){0};
}

int free_pages_predict(struct look *look, const struct cure_places *places,
                       const struct cure_limits *limits, struct free_pages *ret,
                       struct cure_outcome *outcome, struct why *why)
{
    struct free_chunks chunks;
    int r = split_check(&look->target, &outcome->reason);

    outcome->name = "free-pages";
    *ret = (struct free_pages){0};
    if (r == 0 && !look->target.has_memory) {
        outcome->reason = look->target.memory_reason;
        r = -EACCES;
    }
    progress_tell(&limits->progress, "listing free memory", 0, 0);
    if (r == 0)
        r = list_once(look, ret, &chunks, &outcome->reason);
    if (r) {
        if (why)
            *why = outcome->reason;
        return keep(outcome, r);
    }
    r = plan(look, places, limits, &chunks, ret, outcome, why);
    free(chunks.items);
    return r;
}

static int flags_of(struct batch *batch, const struct step *step, uint8_t *ret)
{
    return memory_page_flags(&batch->look->target.memory.memory, step->address, BLOCK_PAGES, ret,
                             batch->why);
}

/* Notes what is there, and makes a huge page of it where it is none. */
static int make_huge(struct batch *batch, struct step *step)
{
    uint8_t flags[BLOCK_PAGES];
    int r = flags_of(batch, step, flags);

    for (size_t i = 0; r == 0 && i < BLOCK_PAGES; i++)
        step->before.is_in[i] = page_is_resident(flags[i]) && flags[i] & PAGE_EXCLUSIVE;
    step->was_huge = r == 0 && flags[0] & PAGE_HUGE;
    return r ? r : collapse_page(&batch->look->target, step->address, batch->why);
}

static int make_all_huge(struct batch *batch)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = make_huge(batch, &batch->steps[i]);
    return r;
}

/* One huge page, and this process' alone: else zeros would be written into many pages for nothing,
 * or un-share what a fork has. */
static bool is_whole(const uint8_t *flags)
{
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        if (!(flags[i] & PAGE_HUGE) || !(flags[i] & PAGE_EXCLUSIVE) ||
            !page_is_resident(flags[i]) || flags[i] & PAGE_FILE)
            return false;
    return true;
}

/* Zeros over runs of pages of one block. */
static int write_zeros(const struct batch *batch, struct step *step)
{
    struct iovec local[BLOCK_PAGES / 2], remote[BLOCK_PAGES / 2];
    size_t count = 0, bytes = 0;
    ssize_t written;

    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        remote_addr page = step->address + i * PAGE_BYTES;

        if (!step->zeroed.is_in[i])
            continue;
        if (i == 0 || !step->zeroed.is_in[i - 1])
            /* An address in the target: never followed here. */
            remote[count++] = (struct iovec){(void *)(uintptr_t)page, 0};
        remote[count - 1].iov_len += PAGE_BYTES;
        bytes += PAGE_BYTES;
    }
    for (size_t i = 0; i < count; i++)
        local[i] = (struct iovec){(void *)(uintptr_t)zeros, remote[i].iov_len};
    cure_point();
    written = count ? process_vm_writev(batch->look->pid, local, count, remote, count, 0) : 0;
    if (written < 0)
        return -errno;
    return (size_t)written == bytes ? 0 : -EFAULT;
}

/* On the thread that traces. */
static int write_all_zeros(void *context)
{
    struct batch *batch = context;
    int r = 0;

    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = write_zeros(batch, &batch->steps[i]);
    return r;
}

/* The block's pages that are free now. A place that has changed since is left alone. */
static int prove(struct batch *batch, struct step *step)
{
    uint8_t flags[BLOCK_PAGES];
    int r = flags_of(batch, step, flags);

    step->zeroed = (struct block_pages){{false}};
    if (r)
        return r;
    step->huge = is_whole(flags);
    if (step->huge)
        free_pages_of_block(&batch->chunks, step->address, &step->zeroed);
    return 0;
}

static int zero_in_stop(struct batch *batch)
{
    struct range within[BATCH_MOST];
    struct free_query query = {.within = within,
                               .within_count = batch->count,
                               .next = batch->next,
                               .next_count = batch->next_count,
                               .hints = batch->hints};
    int r;

    for (size_t i = 0; i < batch->count; i++)
        within[i] = (struct range){batch->steps[i].address, batch->steps[i].address + HUGE_BYTES};
    r = heap_stop(batch->look, &query, &batch->chunks, batch->why);
    if (r)
        return r;
    cure_point();
    batch->proof_ns = clock_now_ns() - batch->look->target.stopped_at_ns;
    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = prove(batch, &batch->steps[i]);
    if (r == 0) {
        r = target_on_tracer(&batch->look->target, write_all_zeros, batch);
        if (r)
            why_set(batch->why, r, "writing to process %d: %s", (int)batch->look->pid,
                    strerror(-r));
    }
    cure_point();
    heap_resume(batch->look);
    free(batch->chunks.items);
    batch->chunks = (struct free_chunks){0};
    return r;
}

/* Also those in which nothing was found to be free after all: the kernel made them huge for us. */
static int split_all(struct batch *batch)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < batch->count; i += SPLIT_BATCH) {
        struct huge_page pages[SPLIT_BATCH];
        size_t count = 0;

        for (size_t k = i; k < batch->count && k < i + SPLIT_BATCH; k++)
            pages[count++] = (struct huge_page){.address = batch->steps[k].address};
        r = split_pages(&batch->look->target, pages, count, batch->why);
    }
    return r;
}

static int verify(struct batch *batch, const struct step *step, struct cure_outcome *outcome)
{
    uint8_t flags[BLOCK_PAGES];
    uint64_t went = 0, stayed = 0, wanted = step->predicted;
    int r = flags_of(batch, step, flags);

    if (r)
        return r;
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        if (step->before.is_in[i] && step->zeroed.is_in[i]) {
            went += !page_is_resident(flags[i]);
            stayed += page_is_resident(flags[i]);
        }
    outcome->returned_rss_bytes += went * PAGE_BYTES;
    outcome->huge_pages_split += step->was_huge && !(flags[0] & PAGE_HUGE);
    if (!step->huge)
        cure_skip(
            outcome, wanted * PAGE_BYTES,
            "the kernel made no huge page of its block: none was free, or memory beside it is "
            "pinned or in use by the kernel just now");
    else if (flags[0] & PAGE_HUGE)
        cure_skip(outcome, wanted * PAGE_BYTES,
                  "the kernel did not split its huge page: it is "
                  "pinned, or in use by the kernel just now");
    else if (stayed + went < wanted || stayed)
        cure_skip(outcome, (wanted > went ? wanted - went : 0) * PAGE_BYTES,
                  "the process took it into use meanwhile");
    return 0;
}

static int run_batch(struct batch *batch, struct cure_outcome *outcome)
{
    int r = make_all_huge(batch), split;

    if (r)
        return r;
    r = zero_in_stop(batch);
    split = split_all(batch); /* whatever went wrong: the kernel made them huge for us */
    r = r ? r : split;
    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = verify(batch, &batch->steps[i], outcome);
    return r;
}

/*
 * As many blocks a stop as its length allows, judged by the last one: what a block took then,
 * beside the proof. Where the proof alone takes as long, as many as there may be, so that it is
 * made less often.
 */
static size_t next_size(size_t now, uint64_t pause_ns, uint64_t proof_ns,
                        const struct cure_limits *limits)
{
    uint64_t aim = limits->pause_ns / 100 * PERCENT_AIMED_AT, each, size;

    if (proof_ns >= limits->pause_ns)
        return BATCH_MOST;
    if (proof_ns >= aim)
        return 1;
    each = pause_ns > proof_ns ? (pause_ns - proof_ns) / now + 1 : 1;
    size = (aim - proof_ns) / each;
    return size < 1 ? 1 : size > BATCH_MOST ? BATCH_MOST : size;
}

static struct range range_of(const struct free_block *block)
{
    return (struct range){block->address, block->address + HUGE_BYTES};
}

/* The first `size` of `left` blocks, and those behind them. */
static void fill_batch(struct batch *batch, const struct free_block *blocks, size_t left,
                       size_t size)
{
    batch->count = left < size ? left : size;
    for (size_t i = 0; i < batch->count; i++)
        batch->steps[i] = (struct step){.address = blocks[i].address, .predicted = blocks[i].pages};
    batch->next_count = 0;
    for (size_t i = batch->count; i < left && batch->next_count < BATCH_MOST; i++)
        batch->next[batch->next_count++] = range_of(&blocks[i]);
}

int free_pages_apply(struct look *look, struct free_pages *pages, const struct cure_limits *limits,
                     struct cure_outcome *outcome, struct why *why)
{
    struct batch batch = {.look = look, .hints = &pages->hints, .why = why};
    size_t size = BATCH_FIRST, total = pages->plan.count;
    int r = 0;

    outcome->applied = true;
    for (size_t i = 0; r == 0 && i < total && !outcome->interrupted; i += batch.count) {
        uint64_t before = look->target.pauses.total_ns;

        fill_batch(&batch, pages->plan.items + i, total - i, size);
        r = run_batch(&batch, outcome);
        size = next_size(size, look->target.pauses.total_ns - before, batch.proof_ns, limits);
        progress_tell(&limits->progress, "giving free memory back", (i + batch.count) * HUGE_BYTES,
                      total * HUGE_BYTES);
        outcome->interrupted = i + batch.count < total && cure_is_interrupted(limits);
    }
    return r;
}
