/*
 * Heaps: a captured process, changed, and decoded as `residue why` does it. Whatever the changes,
 * the decoder ends, reads nothing that is not present, and what it accepts adds up: to the byte,
 * and only in memory that may be a heap.
 *
 * Or it is surveyed first, and changed (further) before it is captured.
 *
 * The input: which process, how many edits, where to fill (a page, and 16 bytes in it); the edits;
 * what is filled in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "heap-sums.h"
#include "heap.h"
#include "heap/fan.h"
#include "heap/glibc/survey.h"
#include "heap/synthetic.h"
#include "ledger/tally.h"
#include "predict/trim.h"
#include "process.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Only ever add at the end: inputs count. */
static const char *const names[] = {
    "glibc-2.36-threads",
    "glibc-2.36-single",
    "glibc-2.31-threads",
    "glibc-2.43-threads",
    "glibc-2.44-threads",
    /* written by heap/synthetic.h */
    "upstream 2.26",
    "upstream 2.27 to 2.29",
    "upstream 2.42",
};

_Static_assert(COUNT(names) == FUZZ_PROCESSES, "the mutator must know them");

static struct fuzz_process processes[COUNT(names)];

static struct trim_rules trim_rules_of(const struct fuzz_process *process, const struct heap *heap)
{
    const struct heap_arena *arena = &heap->arenas.items[0];
    const struct vma *vma = maps_find(&process->maps, arena->top);

    return (struct trim_rules){.top_unit = heap->trim_unit,
                               .top_at_break =
                                   vma && vma->range.end == arena->top + arena->top_bytes,
                               .locked = is_locked,
                               .locked_context = &process->maps};
}

/* How a heap that was opened gets into the sinks: walked, or swept with what was captured. */
struct way {
    unsigned threads;
    const struct heap_survey *survey; /* NULL: walked */
};

static int deliver(const struct heap_view *view, struct heap *heap, const struct way *way,
                   struct span_sink *sink, struct why *why)
{
    return way->survey ? heap->allocator->sweep(view, heap, way->survey, sink, why)
                       : heap->allocator->walk(view, heap, sink, way->threads, why);
}

/* `ret_tally` is released by the caller. False: what was captured contradicts itself. */
static bool account(struct fuzz_process *process, const struct heap_view *view, struct heap *heap,
                    const struct way *way, struct heap_tally *ret_tally)
{
    struct checker checker = checker_begin();
    struct trim_prediction trim = {0};
    struct span_sink *sinks[3] = {&checker.sink}, *fan;
    struct why why = {{0}};
    uint64_t claimed;
    int r;

    fuzz_check(tally_open(ret_tally, heap) == 0);
    sinks[1] = tally_sink_new(ret_tally, is_locked, &process->maps);
    sinks[2] = trim_sink_new(view->memory, trim_rules_of(process, heap), &trim);
    fan = fan_sink_new(sinks, 3);
    fuzz_check(sinks[1] && sinks[2] && fan);
    r = deliver(view, heap, way, fan, &why);
    fuzz_check(r == 0 || (way->survey && r == OUTCOME_TORN && why.text[0]));
    fan_sink_free(fan);
    tally_sink_free(sinks[1]);
    trim_sink_free(sinks[2]);
    if (r)
        return false;
    claimed = check_regions(process, heap);
    fuzz_check(checker.bytes == claimed);
    check_sums(process, heap, ret_tally, &trim, claimed);
    return true;
}

static void check_refusals(const struct heap *heap)
{
    for (size_t i = 0; i < heap->refusals.count; i++)
        fuzz_check(heap->refusals.items[i].what[0] && heap->refusals.items[i].reason.text[0]);
}

/* For looking at one input: FUZZ_VERBOSE=1 in the environment tells what became of it. */
static void tell(int r, const struct heap *heap, const struct why *why)
{
    static int verbose = -1;

    if (verbose < 0)
        verbose = getenv("FUZZ_VERBOSE") != NULL;
    if (!verbose)
        return;
    if (r)
        fprintf(stderr, "refused: %s\n", why->text);
    else if (heap->refusals.count)
        fprintf(stderr, "in part: %s: %s\n", heap->refusals.items[0].what,
                heap->refusals.items[0].reason.text);
    else
        fprintf(stderr, "accepted\n");
}

static struct heap_view view_of(struct fuzz_process *process, bool running)
{
    static struct elf_images no_images;

    return (struct heap_view){.memory = &process->memory.memory,
                              .maps = &process->maps,
                              .images = &no_images,
                              .threads = running ? NULL : process->threads,
                              .thread_count = running ? 0 : process->thread_count,
                              .running = running};
}

/* NULL when it is refused, with the reason. `unchanged`: then there must be nothing to object to.
 */
static struct heap *open_heap(const struct heap_view *view, bool unchanged)
{
    struct why why = {{0}};
    struct heap *heap;
    int r = allocators[0]->open(view, &heap, &why);

    fuzz_check(r >= 0);
    fuzz_check(!unchanged || (r == 0 && heap->refusals.count == 0));
    if (r == 0) {
        fuzz_check(allocators[0]->settled(view, heap, &why) >= 0);
        return heap;
    }
    fuzz_check(why.text[0]);
    tell(r, NULL, &why);
    return NULL;
}

/* The heap as it is, from one moment. False when it is refused, or in part. */
static bool decode(struct fuzz_process *process, bool running, unsigned threads, bool unchanged,
                   struct heap_tally *ret_tally)
{
    struct heap_view view = view_of(process, running);
    struct heap *heap = open_heap(&view, unchanged);
    bool whole;

    *ret_tally = (struct heap_tally){0};
    if (!heap)
        return false;
    fuzz_check(account(process, &view, heap, &(struct way){.threads = threads}, ret_tally));
    check_refusals(heap);
    tell(0, heap, NULL);
    whole = heap->refusals.count == 0;
    fuzz_check(!unchanged || whole);
    heap->allocator->close(heap);
    return whole;
}

static struct heap_survey *survey(struct fuzz_process *process, unsigned threads)
{
    struct heap_view view = view_of(process, true);
    struct heap_survey *survey = NULL;
    struct why why = {{0}};
    struct heap *heap;

    view.threads = process->threads;
    view.thread_count = process->thread_count;
    view.lists_later = view.zeros_known = true;
    heap = open_heap(&view, false);
    if (!heap)
        return NULL;
    fuzz_check(heap->allocator->survey(&view, heap, threads, &survey, &why) >= 0);
    heap->allocator->close(heap);
    return survey;
}

/* What was surveyed, captured now. False when it is refused, or in part. */
static bool capture(struct fuzz_process *process, struct heap_survey *survey, bool unchanged,
                    struct heap_tally *ret_tally)
{
    struct heap_view view = view_of(process, false);
    struct why why = {{0}};
    struct heap *heap;
    bool whole = false;
    int r;

    *ret_tally = (struct heap_tally){0};
    heap = open_heap(&view, unchanged);
    if (!heap)
        return false;
    r = heap->allocator->capture(&view, heap, survey, &why);
    if (r == 0)
        r = heap->allocator->resolve(heap, survey, &why);
    fuzz_check(r >= 0 && (r == 0 || why.text[0]));
    fuzz_check(!unchanged || r == 0);
    if (r == 0) {
        whole = account(process, &view, heap, &(struct way){.survey = survey}, ret_tally);
        fuzz_check(!unchanged || whole);
        check_refusals(heap);
        whole &= heap->refusals.count == 0;
        (void)heap->allocator->unsure_bytes(survey);
    }
    tell(r, heap, &why);
    heap->allocator->close(heap);
    return whole;
}

/* How many blocks there are is as of the survey: the same if nothing changed since. */
static void check_same(const struct heap_tally *a, const struct heap_tally *b, bool still)
{
    fuzz_check(a->arena_count == b->arena_count);
    for (size_t i = 0; !still && i < a->arena_count; i++)
        a->arenas[i].live_blocks = b->arenas[i].live_blocks;
    for (size_t i = 0; i < a->arena_count; i++)
        fuzz_check(memcmp(&a->arenas[i], &b->arenas[i], sizeof *a->arenas) == 0);
    fuzz_check(memcmp(&a->mmapped, &b->mmapped, sizeof a->mmapped) == 0);
}

/* One that the layouts' tests know, too. It lives as long as this program, as its maps' names do.
 */
static void adopt_synthetic(struct fuzz_process *process, const char *versions)
{
    static struct synthetic synthetic;

    for (size_t i = 0; i < upstream_count; i++)
        if (strcmp(upstreams[i].versions, versions) == 0) {
            synthetic_build(&synthetic, &upstreams[i], (struct synthetic_options){0});
            fuzz_process_adopt(process, &synthetic.view, synthetic.extents, synthetic.extent_count);
            synthetic_free(&synthetic);
            return;
        }
    fuzz_check(!"there is such a version");
}

static struct fuzz_process *process_of(unsigned index)
{
    static const char upstream[] = "upstream ";
    struct fuzz_process *process = &processes[index];
    char path[4096];

    if (process->extent_count == 0 && strncmp(names[index], upstream, sizeof upstream - 1) == 0) {
        adopt_synthetic(process, names[index] + sizeof upstream - 1);
    } else if (process->extent_count == 0) {
        snprintf(path, sizeof path, "%s/%s", PROCESSES, names[index]);
        fuzz_process_load(process, path);
    }
    return process;
}

/* Takes `count` edits off the input. */
static void edit(struct fuzz_process *process, struct fuzz_part *rest, unsigned count)
{
    struct fuzz_edit one;

    for (unsigned i = 0; i < count; i++, rest->data += sizeof one, rest->size -= sizeof one) {
        memcpy(&one, rest->data, sizeof one);
        fuzz_process_edit(process, &one);
    }
}

static void fill(struct fuzz_process *process, const struct heap_input *input,
                 const struct fuzz_part *rest)
{
    fuzz_process_fill(process, input->fill_page, 16u * input->fill_offset, rest->data, rest->size);
}

static void read_all(struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->part_count; i++)
        for (size_t k = 0; k < survey->parts[i].nodes.count; k++)
            survey->parts[i].nodes.items[k].size &= ~NODE_SKIPPED;
}

/*
 * The process changes between the survey and the capture: some of the edits come then. Where
 * nothing changed, both ways must tell the same, to the byte; and where all is read: chunks that
 * were left out vouch for each other by what malloc does, not by what is done here.
 */
static void look_while_moving(struct fuzz_process *process, const struct heap_input *input,
                              struct fuzz_part rest)
{
    unsigned later = input->later < input->edits ? input->later : input->edits;
    unsigned threads = input->flags & HEAP_TWO_THREADS ? 2 : 1;
    bool still, unchanged = input->edits == 0 && rest.size == 0;
    struct heap_survey *surveyed;
    struct heap_tally captured, walked;

    edit(process, &rest, input->edits - later);
    still = later == 0 && rest.size == 0;
    surveyed = survey(process, threads);
    if (surveyed && input->flags & HEAP_READ_ALL)
        read_all(surveyed);
    edit(process, &rest, later);
    fill(process, input, &rest);
    fuzz_check(surveyed || !unchanged);
    if (!surveyed)
        return;
    if (capture(process, surveyed, unchanged, &captured) &&
        (still || input->flags & HEAP_READ_ALL)) {
        if (decode(process, false, threads, unchanged, &walked))
            check_same(&captured, &walked, still);
        tally_close(&walked);
    }
    tally_close(&captured);
    allocators[0]->survey_free(surveyed);
}

static void look_once(struct fuzz_process *process, const struct heap_input *input,
                      struct fuzz_part rest)
{
    bool unchanged = input->edits == 0 && rest.size == 0;
    struct heap_tally tally;

    edit(process, &rest, input->edits);
    fill(process, input, &rest);
    decode(process, input->flags & HEAP_RUNNING, input->flags & HEAP_TWO_THREADS ? 2 : 1, unchanged,
           &tally);
    tally_close(&tally);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_process *process;
    struct heap_input input;
    struct fuzz_part rest = {data + sizeof input, size - sizeof input};

    if (size < sizeof input)
        return -1;
    memcpy(&input, data, sizeof input);
    if (input.process >= COUNT(names) || rest.size < input.edits * sizeof(struct fuzz_edit))
        return -1;
    process = process_of(input.process);
    if (input.flags & HEAP_MOVING)
        look_while_moving(process, &input, rest);
    else
        look_once(process, &input, rest);
    fuzz_check(process->memory.reads_of_absent == 0);
    fuzz_process_restore(process);
    return 0;
}
