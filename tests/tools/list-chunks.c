/*
 * usage: list-chunks PID
 *
 * Stops the process as `residue why` does and lists every chunk that its heap is decoded to, which
 * no verb does:
 *
 *   region START END KIND ARENA REFUSED
 *   chunk ADDRESS BYTES STATE MMAPPED
 *   refusal WHAT: REASON
 *
 * Exit codes: 0; 69 with a sentence when no heap was decoded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/vector.h"
#include "explain/look.h"

static const char *const state_names[SPAN_STATES] = {
    [SPAN_LIVE] = "live",         [SPAN_TCACHE] = "tcache",  [SPAN_FASTBIN] = "fastbin",
    [SPAN_BIN] = "bin",           [SPAN_TOP] = "top",        [SPAN_FENCE] = "fence",
    [SPAN_METADATA] = "metadata", [SPAN_UNKNOWN] = "unknown"};

static const char *const kind_names[] = {
    [REGION_MAIN] = "main", [REGION_THREAD_HEAP] = "thread", [REGION_MMAPPED] = "mmapped"};

struct chunk {
    remote_addr address;
    uint64_t bytes;
    uint8_t state;
    bool mmapped;
};

struct list_sink {
    struct span_sink sink; /* first */
    bool mmapped;
    struct chunks {
        struct chunk *items;
        size_t count, capacity;
    } chunks;
};

static const struct span_sink_ops list_ops;

static struct span_sink *list_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct list_sink *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->sink.ops = &list_ops;
    child->mmapped = region->kind == REGION_MMAPPED;
    return &child->sink;
}

static int list_take(struct span_sink *sink, const struct page_window *window,
                     const struct heap_span *spans, size_t count)
{
    struct list_sink *list = (struct list_sink *)sink;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        struct chunk chunk = {.address = spans[i].start,
                              .bytes = spans[i].chunk_bytes,
                              .state = spans[i].state,
                              .mmapped = list->mmapped};

        if (spans[i].head)
            r = vector_push(&list->chunks, chunk);
    }
    return r;
}

static void list_discard(struct span_sink *sink)
{
    free(((struct list_sink *)sink)->chunks.items);
    free(sink);
}

static int list_join(struct span_sink *sink, struct span_sink *child)
{
    const struct chunks *from = &((struct list_sink *)child)->chunks;
    int r = 0;

    for (size_t i = 0; r == 0 && i < from->count; i++)
        r = vector_push(&((struct list_sink *)sink)->chunks, from->items[i]);
    list_discard(child);
    return r;
}

static const struct span_sink_ops list_ops = {
    .fork = list_fork, .take = list_take, .join = list_join, .discard = list_discard};

static void print_regions(const struct heap *heap)
{
    for (size_t i = 0; i < heap->regions.count; i++) {
        const struct heap_region *region = &heap->regions.items[i];

        printf("region %#" PRIx64 " %#" PRIx64 " %s %u %d\n", region->range.start,
               region->range.end, kind_names[region->kind], region->arena, region->refused);
    }
}

static void print_refusals(const struct heap_refusals *refusals)
{
    for (size_t i = 0; i < refusals->count; i++)
        printf("refusal %s: %s\n", refusals->items[i].what, refusals->items[i].reason.text);
}

static void print_chunks(const struct chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++)
        printf("chunk %#" PRIx64 " %" PRIu64 " %s %d\n", chunks->items[i].address,
               chunks->items[i].bytes, state_names[chunks->items[i].state],
               chunks->items[i].mmapped);
}

static int list_chunks(struct look *look, struct why *why)
{
    struct list_sink list = {.sink.ops = &list_ops};
    struct heap_view view;
    int r = look_settle(look, why);

    if (r)
        return r;
    print_refusals(&look->out->refusals);
    if (!look->heap)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "no heap was decoded");
    view = look_heap_view(look);
    r = look->heap->allocator->walk(&view, look->heap, &list.sink, 2, why);
    target_resume(&look->target);
    if (r == 0) {
        print_regions(look->heap);
        print_refusals(&look->heap->refusals);
        print_chunks(&list.chunks);
    }
    free(list.chunks.items);
    return r;
}

static void close_look(struct look *look)
{
    target_close(&look->target);
    if (look->heap)
        look->heap->allocator->close(look->heap);
    look_forget_mappings(look);
    elf_images_close(&look->images);
    explanation_free(look->out);
}

int main(int argc, char **argv)
{
    struct explanation explanation = {0};
    struct procfs procfs;
    struct why why = {0};
    struct look look = {
        .procfs = &procfs, .pid = argc == 2 ? atoi(argv[1]) : 0, .out = &explanation};
    int r = procfs_open(&procfs, "/", &why);

    if (r == 0)
        r = target_open(&look.target, &procfs, look.pid, &why);
    if (r == 0) {
        r = list_chunks(&look, &why);
        close_look(&look);
    }
    if (r)
        fprintf(stderr, "list-chunks: %s (%d)\n", why.text, r);
    return r ? 69 : 0;
}
