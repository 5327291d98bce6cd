/*
 * The walk of a whole heap on several threads.
 *
 * Regions longer than a part are cut. Where a part begins is guessed from plausible headers and
 * confirmed when the walk of the part before arrives exactly there; a part that began elsewhere is
 * walked again. So threads only ever save time, and never decide what is true.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/walk.h"

#define PART_BYTES (UINT64_C(64) << 20)

struct job {
    struct part part;
    struct span_sink *sink; /* forked from the region's */
    int result;             /* of the walk; OUTCOME_NOT_FOUND: no beginning was guessed */
    struct why why;
};

struct jobs {
    struct job *items;
    size_t count, capacity;
};

struct region_walk {
    struct heap_region *region;
    struct span_sink *sink; /* forked from the caller's; holds what is confirmed */
    size_t first_job, job_count;
    struct list_sums sums;
    struct heap_census census;
    int result;
    struct why why;
};

struct region_walks {
    struct region_walk *items;
    size_t count, capacity;
};

struct walk {
    const struct heap_view *view;
    struct glibc *glibc;
    struct jobs jobs;
    struct region_walks regions;
    atomic_size_t next_job;
    uint64_t total_bytes; /* of all jobs */
    atomic_ullong walked_bytes;
};

static void add_sums(struct list_sums *to, const struct list_sums *from)
{
    to->addresses += from->addresses;
    to->fd_targets += from->fd_targets;
    to->bk_targets += from->bk_targets;
    to->fastbin_count += from->fastbin_count;
    to->fastbin_addresses += from->fastbin_addresses;
}

static int plan_region(struct walk *walk, struct heap_region *region, struct span_sink *sink)
{
    struct region_walk planned = {.region = region, .first_job = walk->jobs.count};
    remote_addr begin = region->range.start;
    int r = 0;

    planned.sink = sink->ops->fork(sink, region);
    if (!planned.sink)
        return -ENOMEM;
    while (r == 0 && begin < region->range.end) {
        remote_addr limit = align_up(begin + 1, PART_BYTES);
        struct job job = {.result = -ECANCELED};

        if (limit > region->range.end)
            limit = region->range.end;
        job.part = (struct part){.region = region, .begin = begin, .limit = limit};
        job.sink = sink->ops->fork(planned.sink, region);
        walk->total_bytes += limit - begin;
        r = job.sink ? vector_push(&walk->jobs, job) : -ENOMEM;
        if (r && job.sink)
            sink->ops->discard(job.sink);
        begin = limit;
    }
    planned.job_count = walk->jobs.count - planned.first_job;
    if (r == 0)
        r = vector_push(&walk->regions, planned);
    if (r)
        sink->ops->discard(planned.sink);
    return r;
}

static int plan(struct walk *walk, struct span_sink *sink)
{
    struct heap_regions *regions = &walk->glibc->heap.regions;
    int r = 0;

    for (size_t i = 0; r == 0 && i < regions->count; i++)
        if (!regions->items[i].refused && regions->items[i].kind != REGION_MMAPPED)
            r = plan_region(walk, &regions->items[i], sink);
    return r;
}

static void run_job(const struct walk *walk, struct job *job)
{
    if (job->part.begin != job->part.region->range.start) {
        job->result = glibc_guess_chunk(walk->view, job->part.region, job->part.begin,
                                        job->part.limit, &job->part.begin);
        if (job->result)
            return;
    }
    job->result = glibc_walk_part(walk->view, walk->glibc, &job->part, job->sink, &job->why);
}

static void *work(void *argument)
{
    struct walk *walk = argument;
    size_t i;

    while ((i = atomic_fetch_add(&walk->next_job, 1)) < walk->jobs.count) {
        const struct part *part = &walk->jobs.items[i].part;
        uint64_t bytes = part->limit - part->begin;

        run_job(walk, &walk->jobs.items[i]);
        progress_tell(walk->view->progress, "walking the heap",
                      atomic_fetch_add(&walk->walked_bytes, bytes) + bytes, walk->total_bytes);
    }
    return NULL;
}

/* A thread that cannot be started is no harm: this one works through all jobs in the end. */
static void run_jobs(struct walk *walk, unsigned threads)
{
    pthread_t helpers[64];
    unsigned started = 0;

    while (started + 1 < threads && started < 64 && started + 1 < walk->jobs.count &&
           pthread_create(&helpers[started], NULL, work, walk) == 0)
        started++;
    work(walk);
    while (started)
        pthread_join(helpers[--started], NULL);
}

/* Walks a job again from where the one before arrived. */
static void repeat_job(struct walk *walk, struct job *job, struct span_sink *parent,
                       remote_addr begin)
{
    parent->ops->discard(job->sink);
    job->part.begin = begin;
    job->sink = parent->ops->fork(parent, job->part.region);
    job->result = job->sink
                      ? glibc_walk_part(walk->view, walk->glibc, &job->part, job->sink, &job->why)
                      : -ENOMEM;
}

/* Joins a region's parts in order, as far as each begins where the one before ended. */
static void confirm_region(struct walk *walk, struct region_walk *region)
{
    remote_addr arrived = region->region->range.start;

    for (size_t i = 0; i < region->job_count && region->result == 0; i++) {
        struct job *job = &walk->jobs.items[region->first_job + i];

        if (arrived >= job->part.limit)
            continue;
        if (job->part.begin != arrived || job->result == OUTCOME_NOT_FOUND)
            repeat_job(walk, job, region->sink, arrived);
        region->result = job->result;
        region->why = job->why;
        if (job->result)
            continue;
        arrived = job->part.end;
        add_sums(&region->sums, &job->part.sums);
        census_add(&region->census, &job->part.census);
        region->result = region->sink->ops->join(region->sink, job->sink);
        job->sink = NULL;
    }
    if (region->result == 0 && arrived != region->region->range.end)
        region->result = why_set(&region->why, OUTCOME_TORN, "its chunks end before it does");
}

/* Whether the lists of an arena and what the walk found are the same chunks. */
static int check_arena(const struct walk *walk, uint32_t index, struct why *why)
{
    const struct arena_detail *detail = &walk->glibc->details.items[index];
    struct list_sums sums = {.addresses = detail->head_addresses,
                             .fd_targets = detail->head_targets_fd,
                             .bk_targets = detail->head_targets_bk};

    for (size_t i = 0; i < walk->regions.count; i++) {
        const struct region_walk *region = &walk->regions.items[i];

        if (region->region->arena != index)
            continue;
        if (region->result > 0) {
            if (why)
                *why = region->why;
            return region->result;
        }
        add_sums(&sums, &region->sums);
    }
    if (sums.addresses != sums.fd_targets || sums.addresses != sums.bk_targets)
        return why_set(why, OUTCOME_TORN, "its free chunks are not the ones on its lists");
    if (sums.fastbin_count != detail->fastbin_count ||
        sums.fastbin_addresses != detail->fastbin_sum)
        return why_set(why, OUTCOME_TORN, "its fastbins hold something that is no chunk");
    return 0;
}

/* O(regions) for each arena: the regions of all arenas are few beside the chunks in them. */
static int deliver_arena(struct walk *walk, uint32_t index, struct span_sink *sink)
{
    struct why reason = {{0}};
    int verdict = check_arena(walk, index, &reason), r = 0;

    walk->glibc->heap.arenas.items[index].refused = verdict > 0;
    if (verdict > 0)
        heap_refuse(&walk->glibc->heap, &reason, "glibc arena at 0x%" PRIx64,
                    walk->glibc->heap.arenas.items[index].address);
    for (size_t i = 0; i < walk->regions.count; i++) {
        struct region_walk *region = &walk->regions.items[i];

        if (region->region->arena != index)
            continue;
        region->region->refused = verdict != 0;
        if (verdict)
            continue;
        if (r)
            continue;
        census_add(&walk->glibc->heap.census, &region->census);
        r = sink->ops->join(sink, region->sink);
        region->sink = NULL;
    }
    return r;
}

static int deliver(struct walk *walk, struct span_sink *sink, struct why *why)
{
    int r = 0;

    for (size_t i = 0; i < walk->regions.count; i++) {
        confirm_region(walk, &walk->regions.items[i]);
        if (walk->regions.items[i].result < 0) {
            if (why)
                *why = walk->regions.items[i].why;
            return walk->regions.items[i].result;
        }
    }
    for (uint32_t i = 0; r == 0 && i < walk->glibc->heap.arenas.count; i++)
        if (!walk->glibc->heap.arenas.items[i].refused)
            r = deliver_arena(walk, i, sink);
    return r;
}

static void release(struct walk *walk, struct span_sink *sink)
{
    for (size_t i = 0; i < walk->jobs.count; i++)
        if (walk->jobs.items[i].sink)
            sink->ops->discard(walk->jobs.items[i].sink);
    for (size_t i = 0; i < walk->regions.count; i++)
        if (walk->regions.items[i].sink)
            sink->ops->discard(walk->regions.items[i].sink);
    free(walk->jobs.items);
    free(walk->regions.items);
}

int glibc_walk(const struct heap_view *view, struct heap *heap, struct span_sink *sink,
               unsigned threads, struct why *why)
{
    struct walk walk = {.view = view, .glibc = glibc_of(heap)};
    int r = plan(&walk, sink);

    if (r == 0) {
        run_jobs(&walk, threads);
        r = deliver(&walk, sink, why);
    }
    release(&walk, sink);
    for (size_t i = 0; r == 0 && i < heap->regions.count; i++)
        if (heap->regions.items[i].kind == REGION_MMAPPED)
            r = glibc_walk_mmapped(view, walk.glibc, &heap->regions.items[i], sink, why);
    return r;
}
