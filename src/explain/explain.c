#include "explain/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/format.h"
#include "explain/look.h"
#include "procfs/container.h"
#include "procfs/smaps.h"

void explanation_free(struct explanation *explanation)
{
    free(explanation->exe);
    free(explanation->container);
    free(explanation->unexplained_by.items);
    free(explanation->arenas.items);
    tally_close(&explanation->tally);
    free(explanation->caches.items);
    environment_free(&explanation->environment);
    free(explanation->findings.items);
    free(explanation->refusals.items);
    *explanation = (struct explanation){0};
}

void look_close(struct look *look)
{
    target_close(&look->target);
    look_forget_survey(look);
    if (look->heap)
        look->heap->allocator->close(look->heap);
    look_forget_mappings(look);
    elf_images_close(&look->images);
    heap_memo_forget(&look->memo);
    shmem_devices_free(&look->shmem);
    free(look->pieces.items);
}

static int choose_rss_source(struct look *look, struct why *why)
{
    int r = rss_status_is_exact(look->procfs, why);

    if (r < 0)
        return r;
    look->rss_source = r ? RSS_FROM_STATUS : RSS_FROM_SMAPS_ROLLUP;
    return 0;
}

/* Without PAGEMAP_SCAN (before 6.7) only their sum is known, and each counts as 512 small pages. */
static void refuse_huge_pages(struct look *look, uint64_t huge_bytes)
{
    struct why reason;

    why_set(
        &reason, 0,
        "%s is in huge pages, and this kernel does not tell in which (Linux 6.7 can): they were "
        "not searched for zeros, and less than predicted may come off the cgroup's charge",
        format_bytes(huge_bytes).text);
    look_refuse(look, &reason, "huge pages");
}

static int name_container(struct look *look)
{
    struct container container;

    if (container_read(look->procfs, look->pid, &container, NULL) < 0 || !container.name[0])
        return 0;
    look->out->container = strdup(container.name);
    look->out->container_runtime = container.runtime;
    return look->out->container ? 0 : -ENOMEM;
}

/* What can be told without looking inside. Files that may not be read leave their fields empty. */
static int describe(struct look *look, struct why *why)
{
    struct explanation *out = look->out;
    struct smaps_rollup rollup;
    int r;

    out->pid = look->pid;
    out->taken_at_ns = clock_wall_ns();
    process_identity_read(look->procfs, look->pid, &out->identity);
    memcpy(out->comm, look->target.status.comm, sizeof out->comm);
    out->threads = look->target.status.threads;
    r = process_exe(look->procfs, look->pid, &out->exe);
    if (r)
        out->exe = NULL;
    r = cgroup_memory_read(look->procfs, look->pid, &out->cgroup, why);
    if (r)
        out->cgroup = (struct cgroup_memory){0};
    r = name_container(look);
    if (r)
        return r;
    r = thp_settings_read(look->procfs, &out->thp);
    if (r)
        out->thp = (struct thp_settings){0};
    r = cpus_read(look->procfs, look->pid, &out->cpus);
    if (r)
        return r;
    /* Costs a walk of the page tables, so it is never done while the process is stopped. */
    out->lazyfree_known = smaps_rollup_read(look->procfs, look->pid, &rollup, NULL) == 0;
    out->lazyfree_bytes = out->lazyfree_known ? rollup.lazyfree_bytes : 0;
    if (out->lazyfree_known && rollup.anon_huge_bytes && !look->target.pages.has_scan)
        refuse_huge_pages(look, rollup.anon_huge_bytes);
    return shmem_devices_read(look->procfs, look->pid, &look->shmem) == -ENOMEM ? -ENOMEM : 0;
}

/* Moves what the heap knows into the explanation. */
static int take_heap(struct look *look)
{
    struct explanation *out = look->out;
    struct heap *heap = look->heap;

    if (!heap)
        return 0;
    out->allocator = heap->allocator->name;
    memcpy(out->allocator_version, heap->version, sizeof out->allocator_version);
    out->decoded = true;
    out->settings = heap->settings;
    out->census = heap->census;
    out->arenas = heap->arenas;
    heap->arenas = (struct heap_arenas){0};
    out->caches = heap->caches;
    heap->caches = (struct heap_caches){0};
    out->trim_known = true;
    for (size_t i = 0; i < heap->regions.count; i++)
        out->trim_known &= !heap->regions.items[i].refused;
    for (size_t i = 0; i < out->arenas.count; i++)
        out->trim_known &= !out->arenas.items[i].refused;
    out->heap_live_zero_bytes =
        tally_sum(&out->tally).live_zero_bytes + out->tally.mmapped.live_zero_bytes;
    for (size_t i = 0; i < heap->refusals.count; i++)
        look_refuse(look, &heap->refusals.items[i].reason, heap->refusals.items[i].what);
    return 0;
}

const char *explain_way_name(enum explain_way way)
{
    static const char *const names[] = {[EXPLAIN_STILL] = "still",
                                        [EXPLAIN_MOVING] = "moving",
                                        [EXPLAIN_STOPPED] = "stopped",
                                        [EXPLAIN_RUNNING] = "running"};

    return names[way];
}

/* Without a long stop where that can be proven to make no difference, else inside one. */
static int look_inside(struct look *look, struct why *why)
{
    struct explanation *out = look->out;
    size_t refusals = out->refusals.count;
    int r = OUTCOME_NOT_POSSIBLE;

    out->way = look->options.first_way;
    if (out->way == EXPLAIN_STILL && (r = look_when_still(look, why)) != 0)
        out->way = EXPLAIN_MOVING;
    if (out->way == EXPLAIN_MOVING && (r = look_while_moving(look, why)) != 0) {
        out->way = EXPLAIN_STOPPED;
        if (look_is_large(look, SURVEY_LEAST_BYTES) && r > 0 && why)
            out->long_stop = *why;
    }
    if (r == 0)
        return 0;
    r = look_settle(look, why);
    if (r == 0 && !look->target.stopped) {
        out->way = EXPLAIN_RUNNING;
        out->long_stop.text[0] = '\0';
    }
    if (r == 0)
        r = look_account(look, why);
    if (r != OUTCOME_TORN || !look->captured)
        return r;
    r = look_running_simply(look, refusals, why);
    return r ? r : look_account(look, why);
}

static int examine(struct look *look, struct why *why)
{
    int r = look_inside(look, why);

    look->out->stopped = look->target.stopped || (look->captured && !look->options.no_stop);
    target_resume(&look->target);
    look->out->pauses = look->target.pauses;
    if (r == 0)
        r = name_unexplained(look, why);
    if (r == 0)
        r = take_heap(look);
    if (r == 0)
        r = look_at_environment(look, why);
    return r ? r : look_find_causes(look);
}

int explain(const struct procfs *procfs, pid_t pid, const struct explain_options *options,
            struct explanation *ret, struct why *why)
{
    struct explanation out = {0};
    struct look look = {.procfs = procfs, .pid = pid, .options = *options, .out = &out};
    uint64_t begun = clock_now_ns();
    int r = target_open(&look.target, procfs, pid, why);

    if (r)
        return r;
    r = choose_rss_source(&look, why);
    if (r == 0)
        r = describe(&look, why);
    if (r == 0)
        r = examine(&look, why);
    look_close(&look);
    if (r) {
        explanation_free(&out);
        return r;
    }
    out.elapsed_ns = clock_now_ns() - begun;
    *ret = out;
    return 0;
}
