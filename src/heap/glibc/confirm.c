/*
 * Whether chunks that were free in an earlier stop are free in this one, without following the
 * lists.
 *
 * Such a chunk was on a list then, and its boundaries were chunks' boundaries. If it had been taken
 * off since, its two neighbours on the list would no longer lead to it (unlink_chunk writes both),
 * unless it was put on a list again, as what it is now. So it is free if it has the size that it
 * had, the chunk behind agrees on that and says that it is free, and both neighbours lead to it:
 * what malloc itself checks before it hands a chunk out. Nothing but a program that forges all of
 * these words, at addresses of malloc's, looks the same.
 */
#include "heap/glibc/free-lists.h"

enum { FD = 2, BK = 3, NODE_WORDS = 4 };

/* A list's end in the arena, seen as a chunk. */
static bool is_head(const struct lists *lists, remote_addr address)
{
    remote_addr arena = lists->glibc->heap.arenas.items[lists->arena].address;
    remote_addr first = bin_header(lists->glibc->state, arena, 1);

    return address >= first && (address - first) % 16 == 0 && (address - first) / 16 < BIN_COUNT;
}

/* Whether the chunk, or the list's end, at `neighbour` leads to `chunk` by its fd or bk. */
static int leads_to(const struct lists *lists, remote_addr neighbour, unsigned word,
                    remote_addr chunk)
{
    uint64_t link;
    int r;

    if (!is_head(lists, neighbour) &&
        (neighbour % CHUNK_ALIGNMENT || !lists_region_of(lists, neighbour)))
        return OUTCOME_TORN;
    r = lists_read(lists, neighbour + 8 * word, &link, 1);
    return r ? r : link == chunk ? 0 : OUTCOME_TORN;
}

/* OUTCOME_TORN: it is not, or not for sure. */
static int check(const struct lists *lists, const struct free_chunk *chunk)
{
    const struct heap_region *region = lists_region_of(lists, chunk->address);
    uint64_t node[NODE_WORDS];
    int r;

    if (!region || !range_holds(region->range, chunk->address, chunk->bytes + CHUNK_HEADER_BYTES))
        return OUTCOME_TORN;
    r = lists_read(lists, chunk->address, node, NODE_WORDS);
    if (r)
        return r;
    if ((node[1] & ~(uint64_t)CHUNK_NON_MAIN) != (chunk->bytes | CHUNK_PREV_INUSE))
        return OUTCOME_TORN;
    r = lists_check_behind(lists, chunk->address, chunk->bytes);
    if (r == 0)
        r = leads_to(lists, node[FD], BK, chunk->address);
    return r ? r : leads_to(lists, node[BK], FD, chunk->address);
}

static int confirm_within(struct lists *lists, struct range within)
{
    const struct free_chunks *known = lists->query->known;
    int r = 0;

    for (size_t i = free_chunks_above(known, within.start); r == 0 && i < known->count; i++) {
        const struct free_chunk *chunk = &known->items[i];

        if (chunk->address >= within.end)
            break;
        /* Whose it is tells where it lies: arenas are numbered anew when there are more of them. */
        if (chunk->state != SPAN_BIN || !lists_region_of(lists, chunk->address))
            continue;
        r = check(lists, chunk);
        if (r == 0)
            r = lists_add(lists, chunk->address, chunk->bytes, SPAN_BIN);
        else if (r > 0) /* it is left, for it may be in use */
            r = 0;
    }
    return r;
}

/* One that lies in two ranges must not come twice: they ascend. */
static void drop_repeats(struct free_chunks *chunks, size_t from)
{
    size_t kept = from;

    for (size_t i = from; i < chunks->count; i++)
        if (kept == from || chunks->items[i].address > chunks->items[kept - 1].address)
            chunks->items[kept++] = chunks->items[i];
    chunks->count = kept;
}

int lists_confirm(struct lists *lists)
{
    const struct heap_arena *arena = &lists->glibc->heap.arenas.items[lists->arena];
    size_t from = lists->found->count;
    int r = memory_read(lists->view->memory, arena->address, lists->state,
                        lists->glibc->state->size, lists->why);

    for (size_t i = 0; r == 0 && i < lists->query->within_count; i++)
        r = confirm_within(lists, lists->query->within[i]);
    drop_repeats(lists->found, from);
    return r ? r : lists_take_top(lists);
}
