/*
 * Where pieces of a main arena begin and end. Likely places come first: where brk began, starts of
 * mappings, what follows a piece. Only when they do not add up every page is tried.
 */
#include <stdlib.h>

#include "base/gaps.h"
#include "base/vector.h"
#include "heap/glibc/pieces.h"

enum { SCAN_PAGES = 512, FIRST_COST = 8 };

/* The process may be stopped meanwhile. */
#define COST_LIMIT       (UINT64_C(1) << 25)
#define SCAN_LIMIT_BYTES (UINT64_C(1) << 30)  /* present pages that are tried */
#define SCAN_LIMIT_SPACE (UINT64_C(64) << 30) /* address space that these lie in */

/* The end of a main arena's top that begins in `range`; 0 when none does. */
static remote_addr end_of_top_in(const struct glibc *glibc, struct range range)
{
    for (size_t i = 0; i < glibc->instance_count; i++) {
        const struct heap_arena *arena = main_of(glibc, i);

        if (range_has(range, arena->top))
            return arena->top + arena->top_bytes;
    }
    return 0;
}

/* Most pieces are 1 MiB; 132 KiB in 2.35..2.37 (arguments swapped by 0849eed45d, until 6a734e62f1).
 */
static int try_usual_size(struct piece_search *search, remote_addr start, remote_addr limit,
                          remote_addr *ret_end)
{
    static const uint64_t usual[] = {UINT64_C(132) << 10, UINT64_C(1) << 20};
    struct chain beginning;
    int r = chain_follow(&search->reader, start, limit, FIRST_COST, &beginning);

    if (r || beginning.kind != CHAIN_OPEN)
        return r ? r : OUTCOME_NOT_FOUND;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        struct range range = {start, start + usual[i]};
        remote_addr top_end;
        bool fenced = false;

        if (range.end > limit || range.end < start)
            break;
        top_end = end_of_top_in(search->glibc, range);
        if (!top_end)
            r = chain_is_fenced(&search->reader, range.end, &fenced);
        if (r)
            return r;
        if (fenced || top_end == range.end) {
            *ret_end = range.end;
            return 0;
        }
    }
    return OUTCOME_NOT_FOUND;
}

static int follow_to_end(struct piece_search *search, remote_addr start, remote_addr limit,
                         remote_addr *ret_end)
{
    struct chain chain;
    int r;

    if (search->cost >= COST_LIMIT)
        return OUTCOME_NOT_FOUND;
    r = chain_follow(&search->reader, start, limit, COST_LIMIT - search->cost, &chain);
    if (r)
        return r;
    search->cost += chain.cost;
    if ((chain.kind != CHAIN_FENCED && chain.kind != CHAIN_TOP) || chain.end > limit ||
        chain.end <= start)
        return OUTCOME_NOT_FOUND;
    *ret_end = chain.end;
    return 0;
}

/* Finds and adds the piece that begins at `start`. 0, OUTCOME_NOT_FOUND, negative errno. */
static int take_piece(struct piece_search *search, remote_addr start, remote_addr limit,
                      bool from_brk, remote_addr *ret_end)
{
    uint64_t size;
    int r = chain_size_word(&search->reader, start, &size);

    if (r || (size & CHUNK_FLAGS) != CHUNK_PREV_INUSE)
        return r < 0 ? r : OUTCOME_NOT_FOUND;
    r = try_usual_size(search, start, limit, ret_end);
    if (r == OUTCOME_NOT_FOUND)
        r = follow_to_end(search, start, limit, ret_end);
    if (r == 0 && !from_brk && *ret_end % PAGE_BYTES)
        r = OUTCOME_NOT_FOUND;
    if (r)
        return r;
    return pieces_add(
        search, (struct piece){.range = {start, *ret_end}, .owner = NOBODY, .from_brk = from_brk});
}

/* A chunk with a mapping of its own may lie between pieces: `ret_end` is where it ends. */
static int skip_mmapped(struct piece_search *search, remote_addr start, remote_addr limit,
                        remote_addr *ret_end)
{
    uint64_t size, bytes;
    int r = chain_size_word(&search->reader, start, &size);

    if (r)
        return r < 0 ? r : OUTCOME_NOT_FOUND;
    bytes = align_up(size & ~(uint64_t)CHUNK_FLAGS, PAGE_BYTES); /* from 2.43 on 16 bytes short */
    if ((size & CHUNK_FLAGS) != CHUNK_MMAPPED || bytes == 0 || bytes > limit - start)
        return OUTCOME_NOT_FOUND;
    *ret_end = start + bytes;
    return 0;
}

/*
 * Pieces from `start` on, one behind the other; where brk is, also behind what other callers of
 * sbrk got. `ret_end` is where they end.
 */
static int follow_pieces(struct piece_search *search, remote_addr start, remote_addr limit,
                         bool from_brk, remote_addr *ret_end)
{
    int r = 0;

    while (r == 0 && start < limit) {
        r = take_piece(search, start, limit, from_brk, &start);
        if (r == OUTCOME_NOT_FOUND)
            r = skip_mmapped(search, start, limit, &start);
        if (r == OUTCOME_NOT_FOUND && from_brk && !pieces_are_complete(search))
            r = chain_search(&search->reader, (struct range){start, limit}, &start);
    }
    *ret_end = start;
    return r < 0 ? r : 0;
}

/* Where malloc's memory began, which in a static program is in the middle of [heap]. */
static int search_from_brk(struct piece_search *search)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < search->glibc->instance_count; i++) {
        remote_addr start = align_up(search->glibc->instances[i].sbrk_base, CHUNK_ALIGNMENT), end;
        const struct vma *vma = maps_find(search->view->maps, start);

        if (pieces_are_wanted(search->glibc, i) && vma && strcmp(vma->name, "[heap]") == 0)
            r = follow_pieces(search, start, vma->range.end, true, &end);
    }
    return r;
}

static int by_start(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static int note_known(struct piece_search *search)
{
    const struct heap_regions *regions = &search->glibc->heap.regions;
    int r = 0;

    search->known.count = 0;
    for (size_t i = 0; r == 0 && i < regions->count; i++)
        r = vector_push(&search->known, regions->items[i].range);
    for (size_t i = 0; r == 0 && i < search->pieces.count; i++)
        r = vector_push(&search->known, search->pieces.items[i].range);
    if (search->known.count)
        qsort(search->known.items, search->known.count, sizeof *search->known.items, by_start);
    return r;
}

/* Every present page of a gap. */
static int scan_gap(struct piece_search *search, struct range gap, bool from_brk)
{
    uint8_t flags[SCAN_PAGES];
    remote_addr done = gap.start;
    int r = 0;

    while (r == 0 && gap.start < gap.end && search->scanned < SCAN_LIMIT_BYTES &&
           search->space < SCAN_LIMIT_SPACE) {
        size_t pages = (size_t)((gap.end - gap.start) >> PAGE_SHIFT);

        if (pages > SCAN_PAGES)
            pages = SCAN_PAGES;
        r = memory_page_flags(search->view->memory, gap.start, pages, flags, NULL);
        for (size_t i = 0; r == 0 && i < pages; i++, gap.start += PAGE_BYTES) {
            if (gap.start < done || !(flags[i] & PAGE_PRESENT))
                continue;
            search->scanned += PAGE_BYTES;
            r = take_piece(search, gap.start, gap.end, from_brk, &done);
            if (r == OUTCOME_NOT_FOUND)
                r = 0;
        }
        search->space += pages * PAGE_BYTES;
    }
    return r;
}

/* Gaps between what is known: only their beginnings and what follows these, or every page. */
static int search_gaps(struct piece_search *search, bool every_page)
{
    const struct maps *maps = search->view->maps;
    int r = note_known(search);

    for (size_t i = 0; r == 0 && i < maps->count && !pieces_are_complete(search); i++) {
        const struct vma *vma = &maps->items[i];
        bool from_brk = strcmp(vma->name, "[heap]") == 0;
        struct gap_cursor gaps =
            gaps_of(vma->range, search->known.items, search->known.count, sizeof(struct range));
        struct range gap;

        if (!glibc_may_hold_heap(vma) || strcmp(vma->name, "[stack]") == 0)
            continue;
        while (r == 0 && gap_next(&gaps, &gap)) {
            gap.start = align_up(gap.start, PAGE_BYTES);
            gap.end = align_down(gap.end, PAGE_BYTES);
            if (gap.start < gap.end && every_page)
                r = scan_gap(search, gap, from_brk);
            else if (gap.start < gap.end)
                r = follow_pieces(search, gap.start, gap.end, from_brk, &gap.start);
        }
    }
    return r;
}

int pieces_search(struct piece_search *search)
{
    int r = search_from_brk(search);

    if (r == 0)
        r = search_gaps(search, false);
    if (r == 0 && !pieces_are_complete(search))
        r = search_gaps(search, true);
    return r;
}
