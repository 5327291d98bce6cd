#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/vector.h"
#include "cure/free-batch.h"
#include "cure/points.h"
#include "cure/split.h"
#include "procfs/cgroup.h"

static const uint8_t zeros[HUGE_BYTES]; /* never touched: the kernel's zero page */

/*
 * What may be charged to the process' cgroup for a moment: half of what is left to the limit, so
 * that what the cgroup's own processes need meanwhile does not come to an end there.
 */
static uint64_t room_for(const struct batch *batch)
{
    struct cgroup_memory cgroup;

    if (cgroup_memory_read(batch->look->procfs, batch->look->pid, &cgroup, NULL) != 0 ||
        !cgroup.room_known)
        return UINT64_MAX;
    return cgroup.room_bytes / 2;
}

/* A huge page is charged before the small ones go, and has those, too, that are not there now. */
static int make_huge(struct batch *batch, struct step *step, uint64_t *room)
{
    uint8_t flags[BLOCK_PAGES];
    uint64_t absent = 0;
    int r = batch_flags(batch, step, flags);

    if (r)
        return r;
    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        step->before.is_in[i] = page_is_resident(flags[i]) && flags[i] & PAGE_EXCLUSIVE;
        absent += page_is_resident(flags[i]) ? 0 : PAGE_BYTES;
    }
    step->was_huge = flags[0] & PAGE_HUGE;
    step->no_room = !step->was_huge && *room < HUGE_BYTES + absent;
    if (step->no_room)
        return 0;
    *room -= *room == UINT64_MAX ? 0 : absent;
    return collapse_page(&batch->look->target, step->address, batch->why);
}

static int make_all_huge(struct batch *batch)
{
    uint64_t room = room_for(batch);
    int r = 0;

    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = make_huge(batch, &batch->steps[i], &room);
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

        if (!step->chosen.is_in[i])
            continue;
        if (i == 0 || !step->chosen.is_in[i - 1])
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
    int r = batch_flags(batch, step, flags);

    step->chosen = (struct block_pages){{false}};
    if (r)
        return r;
    step->huge = is_whole(flags);
    if (step->huge)
        free_pages_of_block(&batch->chunks, step->address, &step->chosen);
    return 0;
}

static int zero_in_stop(struct batch *batch)
{
    int r = batch_stop(batch);

    if (r)
        return r;
    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = prove(batch, &batch->steps[i]);
    if (r == 0) {
        r = target_on_tracer(&batch->look->target, write_all_zeros, batch);
        if (r)
            why_set(batch->why, r, "writing to process %d: %s", (int)batch->look->pid,
                    strerror(-r));
    }
    batch_resume(batch);
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
            if (!batch->steps[k].no_room)
                pages[count++] = (struct huge_page){.address = batch->steps[k].address};
        r = split_pages(&batch->look->target, pages, count, batch->why);
    }
    return r;
}

/* No huge page could be made of its block. */
static int refused(struct batch *batch, const struct step *step, struct cure_outcome *outcome)
{
    if (batch->refused)
        return vector_push(batch->refused, ((struct free_block){.address = step->address,
                                                                .pages = step->predicted}));
    cure_skip(
        outcome, step->predicted * PAGE_BYTES,
        step->no_room
            ? "the cgroup is too near its limit for the huge page by which the kernel takes it"
            : "the kernel made no huge page of its block: none was free, or memory beside it "
              "is pinned or in use by the kernel just now");
    return 0;
}

static int verify(struct batch *batch, const struct step *step, struct cure_outcome *outcome)
{
    uint8_t flags[BLOCK_PAGES];
    uint64_t went = 0, stayed = 0, wanted = step->predicted;
    int r = batch_flags(batch, step, flags);

    if (r)
        return r;
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        if (step->before.is_in[i] && step->chosen.is_in[i]) {
            went += !page_is_resident(flags[i]);
            stayed += page_is_resident(flags[i]);
        }
    outcome->returned_rss_bytes += went * PAGE_BYTES;
    outcome->huge_pages_split += step->was_huge && !(flags[0] & PAGE_HUGE);
    if (!step->huge)
        return refused(batch, step, outcome);
    if (flags[0] & PAGE_HUGE)
        cure_skip(outcome, wanted * PAGE_BYTES,
                  "the kernel did not split its huge page: it is pinned, or in use by the kernel "
                  "just now");
    else if (stayed + went < wanted || stayed)
        cure_skip(outcome, (wanted > went ? wanted - went : 0) * PAGE_BYTES,
                  "the process used it, or memory beside it, meanwhile");
    return 0;
}

int batch_zero(struct batch *batch, struct cure_outcome *outcome)
{
    int r = make_all_huge(batch), split;

    if (r == 0)
        r = zero_in_stop(batch);
    split = split_all(batch); /* whatever went wrong: the kernel made them huge for us */
    r = r ? r : split;
    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = verify(batch, &batch->steps[i], outcome);
    return r;
}
