/*
 * Free chunks that hold whole pages: the lists of the bins that such chunks are in, followed from
 * their heads and back to them, and the tops. These are what malloc itself goes by when it hands
 * out memory: whatever is on such a list while the heap is quiet is free, and what is not is not
 * told. Nothing is inferred from content that lies about.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/vector.h"
#include "heap/glibc/free-lists.h"

/* The bin of chunks of `bytes` and more: largebin_index_64. All that hold a whole page are beyond
 * the first two steps of it. */
static unsigned large_bin(uint64_t bytes)
{
    return (bytes >> 9) <= 20    ? 91 + (unsigned)(bytes >> 9)
           : (bytes >> 12) <= 10 ? 110 + (unsigned)(bytes >> 12)
           : (bytes >> 15) <= 4  ? 119 + (unsigned)(bytes >> 15)
           : (bytes >> 18) <= 2  ? 124 + (unsigned)(bytes >> 18)
                                 : 126;
}

int lists_torn(const struct lists *lists, remote_addr chunk, const char *what)
{
    return why_set(lists->why, OUTCOME_TORN, "the free chunk at 0x%" PRIx64 " %s", chunk, what);
}

/* The region of the arena that lies around, or NULL. */
const struct heap_region *lists_region_of(const struct lists *lists, remote_addr chunk)
{
    const struct heap_region *region = glibc_region_at(lists->glibc, chunk);

    return region && region->kind != REGION_MMAPPED && region->arena == lists->arena &&
                   !region->refused
               ? region
               : NULL;
}

int lists_read(const struct lists *lists, remote_addr address, uint64_t *ret, size_t count)
{
    return read_hinted(lists->query->hints, lists->view->memory, address, ret, count, lists->why);
}

static bool touches(struct range chunk, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ranges_overlap(ranges[i], chunk))
            return true;
    return false;
}

bool lists_want(const struct lists *lists, remote_addr chunk, uint64_t bytes)
{
    return !lists->query->within || touches((struct range){chunk, chunk + bytes},
                                            lists->query->within, lists->query->within_count);
}

/* What is not wanted now: the next query may ask what stands behind it. */
static int pass_over(const struct lists *lists, remote_addr chunk, uint64_t bytes)
{
    struct range range = {chunk, chunk + bytes};

    return touches(range, lists->query->next, lists->query->next_count)
               ? read_hints_note(lists->query->hints, range.end)
               : 0;
}

/* Two neighbours and their chunk agree on its size, and that it is free. */
int lists_check_behind(const struct lists *lists, remote_addr chunk, uint64_t bytes)
{
    uint64_t behind[2];
    int r = lists_read(lists, chunk + bytes, behind, 2);

    if (r)
        return r;
    if (behind[0] != bytes || behind[1] & CHUNK_PREV_INUSE)
        return lists_torn(lists, chunk, "is in use, says the one behind it");
    return 0;
}

int lists_add(struct lists *lists, remote_addr chunk, uint64_t bytes, enum span_state state)
{
    return vector_push(
        lists->found,
        ((struct free_chunk){
            .address = chunk, .bytes = bytes, .arena = lists->arena, .state = (uint8_t)state}));
}

/* One chunk of a list that came from `before`; where the list goes on. */
static int take_node(struct lists *lists, remote_addr chunk, remote_addr before,
                     remote_addr *ret_next)
{
    const struct heap_region *region =
        chunk % CHUNK_ALIGNMENT ? NULL : lists_region_of(lists, chunk);
    uint64_t node[NODE_BYTES / 8], bytes;
    int r;

    if (!region)
        return lists_torn(lists, chunk, "lies in no heap of its arena");
    r = lists_read(lists, chunk, node, NODE_BYTES / 8);
    if (r)
        return r;
    bytes = node[1] & ~(uint64_t)CHUNK_FLAGS;
    if ((node[1] & (CHUNK_PREV_INUSE | CHUNK_MMAPPED | 8)) != CHUNK_PREV_INUSE ||
        bytes < CHUNK_MIN_BYTES || bytes > lists->left ||
        !range_holds(region->range, chunk, bytes + CHUNK_HEADER_BYTES))
        return lists_torn(lists, chunk, "has a size that cannot be");
    if (node[3] != before)
        return lists_torn(lists, chunk, "does not lead back to the one before it");
    lists->left -= bytes; /* so that a list that runs in a circle ends */
    *ret_next = node[2];
    if (bytes < WHOLE_PAGE_BYTES)
        return 0;
    if (!lists_want(lists, chunk, bytes))
        return pass_over(lists, chunk, bytes);
    r = lists_check_behind(lists, chunk, bytes);
    return r ? r : lists_add(lists, chunk, bytes, SPAN_BIN);
}

static int follow(struct lists *lists, unsigned bin)
{
    const struct state_layout *layout = lists->glibc->state;
    remote_addr head =
        bin_header(layout, lists->glibc->heap.arenas.items[lists->arena].address, bin);
    size_t links = layout->bins + 16 * (size_t)(bin - 1);
    remote_addr chunk = field_u64(lists->state, links), before = head;
    int r = 0;

    while (r == 0 && chunk != head) {
        remote_addr next = 0;

        r = take_node(lists, chunk, before, &next);
        before = chunk;
        chunk = next;
    }
    if (r == 0 && field_u64(lists->state, links + 8) != before)
        return lists_torn(lists, before, "is the last of its list, which ends with another");
    return r;
}

/* Up to where its region ends; the arena says where it begins. */
int lists_take_top(struct lists *lists)
{
    remote_addr top = field_u64(lists->state, lists->glibc->state->top);
    const struct heap_region *region = lists_region_of(lists, top);
    uint64_t size;
    int r;

    if (lists->glibc->details.items[lists->arena].initial)
        return 0;
    if (!region)
        return lists_torn(lists, top, "is a top in no heap of its arena");
    r = memory_read_u64(lists->view->memory, top + 8, &size, lists->why);
    if (r)
        return r;
    if ((size & CHUNK_FLAGS) != CHUNK_PREV_INUSE ||
        top + (size & ~(uint64_t)CHUNK_FLAGS) != region->range.end)
        return lists_torn(lists, top, "is a top that does not end with its heap");
    if (!lists_want(lists, top, size))
        return 0;
    return lists_add(lists, top, size & ~(uint64_t)CHUNK_FLAGS, SPAN_TOP);
}

static int take_arena(struct lists *lists)
{
    const struct heap_arena *arena = &lists->glibc->heap.arenas.items[lists->arena];
    int r = memory_read(lists->view->memory, arena->address, lists->state,
                        lists->glibc->state->size, lists->why);

    lists->left = arena->system_bytes;
    if (r == 0)
        r = follow(lists, UNSORTED);
    for (unsigned bin = large_bin(WHOLE_PAGE_BYTES); r == 0 && bin < BIN_COUNT; bin++)
        r = follow(lists, bin);
    return r ? r : lists_take_top(lists);
}

static int by_address(const void *a, const void *b)
{
    const struct free_chunk *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static int check_apart(const struct free_chunks *chunks, struct why *why)
{
    for (size_t i = 1; i < chunks->count; i++)
        if (chunks->items[i - 1].address + chunks->items[i - 1].bytes > chunks->items[i].address)
            return why_set(why, OUTCOME_TORN, "two free chunks overlap at 0x%" PRIx64,
                           chunks->items[i].address);
    return 0;
}

int glibc_free_chunks(const struct heap_view *view, struct heap *heap,
                      const struct free_query *query, struct free_chunks *ret, struct why *why)
{
    struct glibc *glibc = glibc_of(heap);
    struct lists lists = {.view = view, .glibc = glibc, .query = query, .found = ret, .why = why};
    int r = 0;

    *ret = (struct free_chunks){0};
    for (uint32_t i = 0; r == 0 && i < heap->arenas.count; i++) {
        lists.arena = i;
        if (!heap->arenas.items[i].refused)
            r = query->known ? lists_confirm(&lists) : take_arena(&lists);
    }
    if (r == 0 && ret->count)
        qsort(ret->items, ret->count, sizeof *ret->items, by_address);
    if (r == 0)
        r = check_apart(ret, why);
    if (r == OUTCOME_UNREADABLE)
        r = OUTCOME_TORN;
    if (r)
        free(ret->items);
    return r;
}
