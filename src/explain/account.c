/* Walking the heap, adding up the ledger, and holding the sum against the kernel's. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/format.h"
#include "base/vector.h"
#include "explain/look.h"
#include "heap/fan.h"

/* Half a second of reading, at 17 GB/s from huge pages. */
#define CONTENT_LIMIT_BYTES (UINT64_C(8) << 30)

/* Whether any of `range` lies in locked memory. */
static bool is_locked(const void *context, struct range range)
{
    const struct maps *maps = context;

    for (size_t i = maps_index_above(maps, range.start);
         i < maps->count && maps->items[i].range.start < range.end; i++)
        if (maps->items[i].locked)
            return true;
    return false;
}

/* systrim acts only where malloc's idea of the break is the kernel's: [heap] ends with the top. */
static bool is_top_at_break(const struct look *look, const struct heap_arena *arena)
{
    const struct vma *vma = maps_find(&look->maps, arena->top);

    return arena->main && !arena->other_copy && vma && strcmp(vma->name, "[heap]") == 0 &&
           vma->range.end == arena->top + arena->top_bytes;
}

static struct trim_rules trim_rules_of(struct look *look)
{
    const struct heap_arenas *arenas = &look->heap->arenas;
    struct trim_rules trim = {.top_unit = look->heap->trim_unit,
                              .arenas = arenas->items,
                              .locked = is_locked,
                              .locked_context = &look->maps};

    for (uint32_t i = 0; i < arenas->count && !trim.top_at_break; i++) {
        trim.top_at_break = is_top_at_break(look, &arenas->items[i]);
        trim.break_arena = i;
    }
    look->main_top_trims = trim.top_at_break;
    return trim;
}

unsigned look_threads(const struct look *look)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (look->options.threads)
        return look->options.threads;
    return cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
}

static int walk_into(struct look *look, struct span_sink *tally, struct span_sink *trim,
                     struct why *why)
{
    const struct allocator *allocator = look->heap->allocator;
    struct heap_view view = look_heap_view(look);
    struct span_sink *sinks[] = {tally, trim}, *fan;
    int r;

    if (!tally || !trim)
        return -ENOMEM;
    fan = fan_sink_new(sinks, 2);
    if (!fan)
        return -ENOMEM;
    r = look->captured ? allocator->sweep(&view, look->heap, look->survey, fan, why)
                       : allocator->walk(&view, look->heap, fan, look_threads(look), why);
    fan_sink_free(fan);
    return r;
}

static int walk_heap(struct look *look, struct why *why)
{
    struct span_sink *tally, *trim;
    int r = tally_open(&look->out->tally, look->heap);

    if (r)
        return r;
    tally = tally_sink_new(&look->out->tally, is_locked, &look->maps);
    trim = trim_sink_new(look_heap_view(look).memory, trim_rules_of(look), &look->out->trim);
    r = walk_into(look, tally, trim, why);
    if (tally)
        tally_sink_free(tally);
    if (trim)
        trim_sink_free(trim);
    return r;
}

/* The regions whose bytes the walk accounted for. */
static int claimed_regions(const struct look *look, struct heap_regions *ret)
{
    int r = 0;

    *ret = (struct heap_regions){0};
    for (size_t i = 0; look->heap && r == 0 && i < look->heap->regions.count; i++)
        if (!look->heap->regions.items[i].refused)
            r = vector_push(ret, look->heap->regions.items[i]);
    return r;
}

static void refuse_unread(struct look *look)
{
    struct why reason;

    why_set(&reason, 0, "%s in huge pages was not searched for zeros, to keep the pause short",
            format_bytes(look->pieces.unread_bytes).text);
    look_refuse(look, &reason, "zero pages");
}

static int add_mappings(struct look *look, struct why *why)
{
    struct heap_regions claimed;
    int r = claimed_regions(look, &claimed);
    struct ledger_view view = {
        .memory = look->target.has_memory ? &look->target.memory.memory : NULL,
        .pages = &look->target.pages,
        .image = look->captured ? &look->pages_now : NULL,
        .maps = &look->maps,
        .shmem = &look->shmem,
        .images = &look->images,
        .stacks =
            look->target.stopped || look->read_still || (look->captured && !look->options.no_stop)
                ? &look->stacks
                : NULL,
        .regions = &claimed,
        .content_limit = CONTENT_LIMIT_BYTES,
        .scan_small = look->options.scan_small,
    };

    if (r == 0)
        r = ledger_add_mappings(&view, &look->out->ledger, &look->pieces, why);
    free(claimed.items);
    if (r == 0 && look->pieces.unread_bytes)
        refuse_unread(look);
    return r;
}

static void refuse_difference(struct look *look, uint64_t kernel, uint64_t sum)
{
    struct why reason;
    uint64_t off = kernel > sum ? kernel - sum : sum - kernel;

    why_set(&reason, 0, "the kernel's RSS was %s %s what the page states add up to; look again",
            format_bytes(off).text, kernel > sum ? "above" : "below");
    look_refuse(look, &reason, "exactness");
}

/*
 * The kernel's figure before and after must be what the ledger adds up to. Where the kernel itself
 * moved pages meanwhile (reclaim, khugepaged), and in a running process always, the ledger is what
 * it is: the sum of the page states that were seen, which is a figure of the kernel too.
 */
static int reconcile(struct look *look, uint64_t before, struct why *why)
{
    struct explanation *out = look->out;
    uint64_t sum = ledger_sum(&out->ledger);
    int r = rss_read(look->procfs, look->pid, look->rss_source, &out->rss, why);

    if (r)
        return r;
    out->moved_bytes =
        before > out->rss.rss_bytes ? before - out->rss.rss_bytes : out->rss.rss_bytes - before;
    if (look->read_still && sum != out->rss.rss_bytes)
        return why_set(why, OUTCOME_TORN, "its pages move while it is looked at");
    if (look->target.stopped && sum != out->rss.rss_bytes && sum != before)
        refuse_difference(look, out->rss.rss_bytes, sum);
    out->rss.rss_bytes = sum;
    return 0;
}

/* What was captured in one stop has one sum; without a stop that is `reconcile`'s. */
static int check_captured(struct look *look, struct why *why)
{
    uint64_t sum = ledger_sum(&look->out->ledger);

    look->out->rss = look->captured_rss;
    if (sum != look->captured_rss.rss_bytes)
        return why_set(why, OUTCOME_TORN, "the kernel moved its pages in the stop");
    return 0;
}

int look_account(struct look *look, struct why *why)
{
    struct rss before;
    int r = rss_read(look->procfs, look->pid, look->rss_source, &before, why);

    if (r == 0 && look->heap)
        r = walk_heap(look, why);
    if (r == 0)
        r = add_mappings(look, why);
    if (r)
        return r;
    if (look->heap)
        tally_add_to_ledger(&look->out->tally, &look->out->ledger);
    return look->captured && !look->options.no_stop ? check_captured(look, why)
                                                    : reconcile(look, before.rss_bytes, why);
}
