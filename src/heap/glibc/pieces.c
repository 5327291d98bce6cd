/*
 * Main arenas whose memory is not one piece grown by brk. When brk is refused, malloc takes regions
 * from mmap and stays "noncontiguous" (sysmalloc_mmap_fallback); copies of libc in other namespaces
 * and glibc.malloc.hugetlb >= 2 never use brk. These pieces are on no list. Each begins at a page
 * (or where brk was) with a chunk and ends in the top, or in two fences at a page; together they
 * are as long as malloc says.
 *
 * Likely places come first: where brk began, starts of mappings, what follows a piece. Only when
 * they do not add up every page is tried. What is found here is where pieces begin and end; that
 * chunks tile them, and are those on the lists, is for the walk to show.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/gaps.h"
#include "base/vector.h"
#include "heap/glibc/chain.h"

enum { NOBODY = -1, SCAN_PAGES = 512, FIRST_COST = 8, PIECES_MOST = 1 << 20 };

/* The process may be stopped meanwhile. */
#define COST_LIMIT       (UINT64_C(1) << 25)
#define SCAN_LIMIT_BYTES (UINT64_C(1) << 30)  /* present pages that are tried */
#define SCAN_LIMIT_SPACE (UINT64_C(64) << 30) /* address space that these lie in */

struct piece {
    struct range range; /* first */
    int owner;          /* index of an instance, or NOBODY yet */
    bool has_top, from_brk;
};

struct piece_search {
    const struct heap_view *view;
    struct glibc *glibc;
    struct chain_reader reader;
    struct pieces {
        struct piece *items;
        size_t count, capacity;
    } pieces;
    struct known_ranges {
        struct range *items; /* regions and pieces so far, ascending */
        size_t count, capacity;
    } known;
    uint64_t cost, scanned, space;
};

static struct heap_arena *main_of(const struct glibc *glibc, size_t instance)
{
    return &glibc->heap.arenas.items[glibc->instances[instance].first_arena];
}

/* Whether an instance's pieces are to be searched for. */
static bool is_wanted(const struct glibc *glibc, size_t instance)
{
    uint32_t arena = glibc->instances[instance].first_arena;

    return glibc->details.items[arena].in_pieces && !glibc->heap.arenas.items[arena].refused;
}

static bool any_wanted(const struct glibc *glibc)
{
    for (size_t i = 0; i < glibc->instance_count; i++)
        if (is_wanted(glibc, i))
            return true;
    return false;
}

static int by_start(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static void sort_pieces(struct piece_search *search)
{
    if (search->pieces.count)
        qsort(search->pieces.items, search->pieces.count, sizeof *search->pieces.items, by_start);
}

static bool is_of(const struct piece *piece, size_t instance, bool or_nobodys)
{
    return piece->owner == (int)instance || (or_nobodys && piece->owner == NOBODY);
}

/*
 * Before brk was first refused, what others got from sbrk was counted, afterwards not: so up to
 * some place, the gaps between pieces from brk may be part of the sum.
 */
static bool adds_up(const struct piece_search *search, size_t instance, bool or_nobodys)
{
    uint64_t sum = 0, system = main_of(search->glibc, instance)->system_bytes;
    const struct piece *pieces = search->pieces.items, *last = NULL;
    bool has_top = false;

    for (size_t i = 0; i < search->pieces.count; i++) {
        if (!is_of(&pieces[i], instance, or_nobodys))
            continue;
        sum += range_length(pieces[i].range);
        has_top |= pieces[i].has_top;
    }
    for (size_t i = 0; has_top && sum < system && i < search->pieces.count; i++) {
        if (!pieces[i].from_brk || !is_of(&pieces[i], instance, or_nobodys))
            continue;
        sum += last ? pieces[i].range.start - last->range.end : 0;
        last = &pieces[i];
    }
    return has_top && sum == system;
}

/*
 * The one instance that still lacks pieces, to which those belong that show no owner; NOBODY when
 * several do, as then nobody can tell, or none.
 */
static int find_lacking(const struct piece_search *search, bool *ret_several)
{
    int lacking = NOBODY;

    *ret_several = false;
    for (size_t i = 0; i < search->glibc->instance_count; i++) {
        if (!is_wanted(search->glibc, i) || adds_up(search, i, false))
            continue;
        *ret_several |= lacking != NOBODY;
        lacking = (int)i;
    }
    return *ret_several ? NOBODY : lacking;
}

static bool is_complete(struct piece_search *search)
{
    bool several;
    int lacking;

    sort_pieces(search);
    lacking = find_lacking(search, &several);
    return !several && (lacking == NOBODY || adds_up(search, (size_t)lacking, true));
}

/* A piece shows whose it is by a top, or by being where an instance's memory began. */
static int add_piece(struct piece_search *search, struct piece piece)
{
    const struct glibc *glibc = search->glibc;

    for (size_t i = 0; i < glibc->instance_count; i++) {
        const struct heap_arena *arena = main_of(glibc, i);

        if (range_has(piece.range, arena->top)) {
            piece.owner = (int)i;
            piece.has_top = true;
        } else if (align_up(glibc->instances[i].sbrk_base, CHUNK_ALIGNMENT) == piece.range.start) {
            piece.owner = (int)i;
        }
    }
    if (search->pieces.count >= PIECES_MOST)
        return OUTCOME_NOT_FOUND;
    return vector_push(&search->pieces, piece);
}

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
    return add_piece(
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
        if (r == OUTCOME_NOT_FOUND && from_brk && !is_complete(search))
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

        if (is_wanted(search->glibc, i) && vma && strcmp(vma->name, "[heap]") == 0)
            r = follow_pieces(search, start, vma->range.end, true, &end);
    }
    return r;
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

    for (size_t i = 0; r == 0 && i < maps->count && !is_complete(search); i++) {
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

/* Neighbours become one region, unless the top stands between them. */
static int add_region(struct glibc *glibc, const struct piece *piece, uint32_t arena)
{
    struct heap_regions *regions = &glibc->heap.regions;
    struct heap_region *last = regions->count ? &regions->items[regions->count - 1] : NULL;
    struct heap_region region = {.range = piece->range, .kind = REGION_MAIN, .arena = arena};
    remote_addr top = glibc->heap.arenas.items[arena].top;

    if (last && last->kind == REGION_MAIN && last->arena == arena &&
        last->range.end == piece->range.start && !range_has(last->range, top)) {
        last->range.end = piece->range.end;
        return 0;
    }
    return vector_push(regions, region);
}

static void refuse_pieces(struct piece_search *search, size_t instance, bool several)
{
    struct glibc *glibc = search->glibc;
    uint64_t sum = 0;
    struct why reason;

    for (size_t i = 0; i < search->pieces.count; i++)
        if (is_of(&search->pieces.items[i], instance, true))
            sum += range_length(search->pieces.items[i].range);
    why_set(&reason, 0,
            "it was refused more memory by brk and took pieces from mmap, on no list; those that "
            "were found add up to %" PRIu64 " bytes of %" PRIu64 "%s",
            sum, main_of(glibc, instance)->system_bytes,
            several ? ", and some may belong to another copy of malloc" : "");
    glibc_refuse_arena(glibc, glibc->instances[instance].first_arena, &reason);
}

/* Those of one instance, in order of address. */
static int keep_pieces(struct piece_search *search, size_t instance)
{
    uint32_t arena = search->glibc->instances[instance].first_arena;
    int r = 0;

    for (size_t i = 0; r == 0 && i < search->pieces.count; i++)
        if (search->pieces.items[i].owner == (int)instance)
            r = add_region(search->glibc, &search->pieces.items[i], arena);
    return r;
}

static int keep_all(struct piece_search *search)
{
    bool several;
    int lacking, r = 0;

    sort_pieces(search);
    lacking = find_lacking(search, &several);
    for (size_t i = 0; lacking != NOBODY && i < search->pieces.count; i++)
        if (search->pieces.items[i].owner == NOBODY)
            search->pieces.items[i].owner = lacking;
    for (size_t i = 0; r == 0 && i < search->glibc->instance_count; i++) {
        if (!is_wanted(search->glibc, i))
            continue;
        if (adds_up(search, i, false))
            r = keep_pieces(search, i);
        else
            refuse_pieces(search, i, several);
    }
    glibc_sort_regions(search->glibc);
    return r;
}

int glibc_find_pieces(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct piece_search search = {.view = view, .glibc = glibc};
    int r;

    if (!any_wanted(glibc))
        return 0;
    r = chain_reader_open(&search.reader, glibc, view->memory);
    if (r)
        return why_set(why, r, "out of memory while searching a heap's pieces");
    r = search_from_brk(&search);
    if (r == 0)
        r = search_gaps(&search, false);
    if (r == 0 && !is_complete(&search))
        r = search_gaps(&search, true);
    if (r == 0)
        r = keep_all(&search);
    chain_reader_close(&search.reader);
    free(search.pieces.items);
    free(search.known.items);
    return r;
}
