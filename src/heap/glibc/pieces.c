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
#include "heap/glibc/pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/vector.h"

enum { PIECES_MOST = 1 << 20 };

static bool any_wanted(const struct glibc *glibc)
{
    for (size_t i = 0; i < glibc->instance_count; i++)
        if (pieces_are_wanted(glibc, i))
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
        if (!pieces_are_wanted(search->glibc, i) || adds_up(search, i, false))
            continue;
        *ret_several |= lacking != NOBODY;
        lacking = (int)i;
    }
    return *ret_several ? NOBODY : lacking;
}

bool pieces_are_complete(struct piece_search *search)
{
    bool several;
    int lacking;

    sort_pieces(search);
    lacking = find_lacking(search, &several);
    return !several && (lacking == NOBODY || adds_up(search, (size_t)lacking, true));
}

/* A piece shows whose it is by a top, or by being where an instance's memory began. */
int pieces_add(struct piece_search *search, struct piece piece)
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
        if (!pieces_are_wanted(search->glibc, i))
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
    r = pieces_search(&search);
    if (r == 0)
        r = keep_all(&search);
    chain_reader_close(&search.reader);
    free(search.pieces.items);
    free(search.known.items);
    return r;
}
