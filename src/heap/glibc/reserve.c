/*
 * HEAP_MAX_SIZE, the address space that is set aside for a thread arena's heap, and that it is
 * aligned to: 64 MiB; in 2.35..2.41 four huge pages if glibc.malloc.hugetlb asks for such
 * (c1beb51d08, until 9f551e28a7), even when normal ones are used. Where the heaps begin tells.
 */
#include "heap/glibc/glibc.h"

static bool is_heap_of(const struct heap_view *view, remote_addr start, remote_addr arena)
{
    remote_addr ar_ptr;

    return memory_read_u64(view->memory, start, &ar_ptr, NULL) == 0 && ar_ptr == arena;
}

/* Whether the first and the last heap of every thread arena begin where `reserve` has them. */
static bool reserve_fits(const struct heap_view *view, const struct glibc *glibc, uint64_t reserve)
{
    for (size_t i = 0; i < glibc->heap.arenas.count; i++) {
        const struct heap_arena *arena = &glibc->heap.arenas.items[i];

        if (arena->main || glibc->details.items[i].initial)
            continue;
        if (arena->address % reserve > PAGE_BYTES ||
            !is_heap_of(view, align_down(arena->address, reserve), arena->address) ||
            !is_heap_of(view, align_down(arena->top, reserve), arena->address))
            return false;
    }
    return true;
}

static bool is_mapped(const struct maps *maps, struct range range)
{
    for (size_t i = maps_index_above(maps, range.start); i < maps->count && range.start < range.end;
         i++) {
        if (maps->items[i].range.start > range.start)
            return false;
        range.start = maps->items[i].range.end;
    }
    return range.start >= range.end;
}

/* Whether so much is set aside at every thread arena: the rest of a heap is mapped without access.
 */
static bool is_set_aside(const struct heap_view *view, const struct glibc *glibc, uint64_t reserve)
{
    for (size_t i = 0; i < glibc->heap.arenas.count; i++) {
        remote_addr start = align_down(glibc->heap.arenas.items[i].address, reserve);

        if (!glibc->heap.arenas.items[i].main &&
            !is_mapped(view->maps, (struct range){start, start + reserve}))
            return false;
    }
    return true;
}

void glibc_infer_reserve(const struct heap_view *view, struct glibc *glibc)
{
    uint64_t huge = 4 * glibc->heap.settings.hp_pagesize;

    glibc->heap_reserve = HEAP_RESERVE_BYTES;
    if (huge && reserve_fits(view, glibc, huge) &&
        !(reserve_fits(view, glibc, HEAP_RESERVE_BYTES) &&
          is_set_aside(view, glibc, HEAP_RESERVE_BYTES)))
        glibc->heap_reserve = huge;
}
