/*
 * Arenas and their regions. The ring of arenas starts at the main arena; a thread arena lies behind
 * the heap_info of its first heap, and every heap is a naturally aligned reservation, linked
 * backwards from the one with the top.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/vector.h"
#include "heap/glibc/glibc.h"

enum {
    ARENA_LIMIT = 1 << 16,
    HEAP_LIMIT = 1 << 16, /* heaps an arena: 4 TiB */
    STATE_BYTES_MOST = 2200,
    STATE_FLAGS = 4,
    HEAP_INFO_AR_PTR = 0,
    HEAP_INFO_PREV = 8,
    HEAP_INFO_SIZE = 16,
    HEAP_INFO_READ = 32,
};

/* Sums over the arena's own end of every bin list; the walk adds the chunks' and they must cancel
 * out. */
static void sum_list_heads(const struct glibc *glibc, const uint8_t *state, remote_addr arena,
                           struct arena_detail *detail)
{
    for (unsigned bin = 1; bin <= BIN_COUNT; bin++) {
        size_t offset = glibc->state->bins + 16 * (size_t)(bin - 1);

        detail->head_targets_fd += hash_address(field_u64(state, offset));
        detail->head_targets_bk += hash_address(field_u64(state, offset + 8));
        detail->head_addresses += hash_address(bin_header(glibc->state, arena, bin));
    }
}

static int read_top(const struct heap_view *view, struct heap_arena *arena, struct why *why)
{
    uint64_t size;
    int r = memory_read_u64(view->memory, arena->top + 8, &size, why);

    if (r)
        return why_prefix(why, r, "the top chunk's header");
    arena->top_bytes = size & ~(uint64_t)CHUNK_FLAGS;
    return 0;
}

static int read_state(const struct heap_view *view, struct glibc *glibc,
                      const struct glibc_instance *instance, remote_addr address,
                      struct heap_arena *arena, struct arena_detail *detail, struct why *why)
{
    uint8_t state[STATE_BYTES_MOST];
    int r = memory_read(view->memory, address, state, glibc->state->size, why);

    if (r)
        return r;
    *arena = (struct heap_arena){
        .address = address,
        .main = address == instance->main_arena,
        .locked = field_u32(state, 0) != 0,
        .system_bytes = field_u64(state, glibc->state->system_mem),
        .top = field_u64(state, glibc->state->top),
    };
    *detail = (struct arena_detail){
        .initial = arena->top == bin_header(glibc->state, address, 1),
        .in_pieces = arena->main && (field_u32(state, STATE_FLAGS) & ARENA_NONCONTIGUOUS)};
    for (unsigned i = 0; glibc->state->fastbins && i < FASTBIN_COUNT; i++)
        detail->fastbins[i] = field_u64(state, glibc->state->fastbins + 8 * (size_t)i);
    sum_list_heads(glibc, state, address, detail);
    return detail->initial ? 0 : read_top(view, arena, why);
}

static const struct heap_info_layout *heap_info_of(uint64_t distance)
{
    for (size_t i = 0; i < heap_info_layout_count; i++)
        if (heap_info_layouts[i].size == distance)
            return &heap_info_layouts[i];
    return NULL;
}

/*
 * The distance from the reservation's start to the arena tells the layout of heap_info, and ar_ptr
 * confirms it.
 */
static int infer_heap_info(const struct heap_view *view, struct glibc *glibc, remote_addr arena,
                           struct why *why)
{
    remote_addr start = align_down(arena, glibc->heap_reserve);
    const struct heap_info_layout *layout = heap_info_of(arena - start);
    remote_addr ar_ptr;

    if (!layout || memory_read_u64(view->memory, start, &ar_ptr, NULL) != 0 || ar_ptr != arena)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "the thread arena at 0x%" PRIx64
                       " does not lie behind a heap header of a known layout",
                       arena);
    if (glibc->heap_info && glibc->heap_info != layout)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "thread arenas disagree on the layout of heap headers");
    glibc->heap_info = layout;
    return 0;
}

/*
 * sbrk_base + system_mem is the end of the top as long as brk was never replaced by mmap: what
 * others got from sbrk in between is counted (sysmalloc), and left out by the walk. Else see
 * pieces.c.
 */
static int read_main_region(struct glibc *glibc, uint32_t index, uint64_t sbrk_base,
                            struct why *why)
{
    struct heap_arena *arena = &glibc->heap.arenas.items[index];
    struct range range = {align_up(sbrk_base, CHUNK_ALIGNMENT), arena->top + arena->top_bytes};

    arena->heaps = 1;
    arena->reserved_bytes = arena->system_bytes;
    if (glibc->details.items[index].in_pieces)
        return 0;
    if (sbrk_base + arena->system_bytes != range.end || range.start >= range.end ||
        arena->top < range.start)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "it got %" PRIu64 " bytes from brk, and its top does not end that far "
                       "behind 0x%" PRIx64 ", where they began",
                       arena->system_bytes, sbrk_base);
    return vector_push(&glibc->heap.regions,
                       ((struct heap_region){.range = range, .kind = REGION_MAIN, .arena = index}));
}

static int check_heap(const struct glibc *glibc, const struct heap_arena *arena,
                      const uint8_t *info, remote_addr start, struct why *why)
{
    uint64_t size = field_u64(info, HEAP_INFO_SIZE);

    if (start % glibc->heap_reserve || field_u64(info, HEAP_INFO_AR_PTR) != arena->address ||
        size > glibc->heap_reserve || size % PAGE_BYTES || size <= glibc->heap_info->size)
        return why_set(why, OUTCOME_TORN,
                       "the heap at 0x%" PRIx64 " has a header that contradicts its arena", start);
    return 0;
}

/* Walks the heaps of a thread arena from the one with the top backwards; their sizes must sum up to
 * system_mem. */
static int read_thread_regions(const struct heap_view *view, struct glibc *glibc, uint32_t index,
                               struct why *why)
{
    struct heap_arena *arena = &glibc->heap.arenas.items[index];
    remote_addr start = align_down(arena->top, glibc->heap_reserve);
    uint64_t sum = 0;

    while (start) {
        uint8_t info[HEAP_INFO_READ];
        struct heap_region region = {.kind = REGION_THREAD_HEAP, .arena = index};
        int r = memory_read(view->memory, start, info, sizeof info, why);

        if (r == 0)
            r = check_heap(glibc, arena, info, start, why);
        if (r)
            return r;
        region.range = (struct range){start, start + field_u64(info, HEAP_INFO_SIZE)};
        sum += range_length(region.range);
        r = vector_push(&glibc->heap.regions, region);
        if (r)
            return r;
        if (++arena->heaps > HEAP_LIMIT || glibc->heap.regions.count > HEAP_LIMIT)
            return why_set(why, OUTCOME_TORN, "its heaps are linked in a loop");
        start = field_u64(info, HEAP_INFO_PREV);
    }
    arena->reserved_bytes = arena->heaps * glibc->heap_reserve;
    if (sum != arena->system_bytes)
        return why_set(why, OUTCOME_TORN, "its heaps do not add up to what it got from the kernel");
    return 0;
}

static void drop_regions_of(struct glibc *glibc, uint32_t index)
{
    size_t kept = 0;

    for (size_t i = 0; i < glibc->heap.regions.count; i++)
        if (glibc->heap.regions.items[i].kind == REGION_MMAPPED ||
            glibc->heap.regions.items[i].arena != index)
            glibc->heap.regions.items[kept++] = glibc->heap.regions.items[i];
    glibc->heap.regions.count = kept;
}

void glibc_refuse_arena(struct glibc *glibc, uint32_t index, const struct why *reason)
{
    struct heap_arena *arena = &glibc->heap.arenas.items[index];

    drop_regions_of(glibc, index);
    arena->refused = true;
    heap_refuse(&glibc->heap, reason, "glibc arena at 0x%" PRIx64, arena->address);
}

/* An arena that contradicts itself is refused; the others still count. Negative errno is passed on.
 */
static int read_regions_of(const struct heap_view *view, struct glibc *glibc,
                           const struct glibc_instance *instance, uint32_t index)
{
    struct heap_arena *arena = &glibc->heap.arenas.items[index];
    struct why reason = {{0}};
    int r;

    if (glibc->details.items[index].initial)
        return 0;
    if (arena->main) {
        r = read_main_region(glibc, index, instance->sbrk_base, &reason);
    } else {
        r = infer_heap_info(view, glibc, arena->address, &reason);
        if (r == 0)
            r = read_thread_regions(view, glibc, index, &reason);
    }
    if (r <= 0)
        return r;
    glibc_refuse_arena(glibc, index, &reason);
    return 0;
}

static int follow_ring(const struct heap_view *view, struct glibc *glibc,
                       const struct glibc_instance *instance, struct why *why)
{
    remote_addr address = instance->main_arena;

    do {
        struct heap_arena arena;
        struct arena_detail detail;
        int r = read_state(view, glibc, instance, address, &arena, &detail, why);

        if (r == 0)
            r = vector_push(&glibc->heap.arenas, arena);
        if (r == 0)
            r = vector_push(&glibc->details, detail);
        if (r == 0)
            r = memory_read_u64(view->memory, address + glibc->state->next, &address, why);
        if (r)
            return r;
        if (glibc->heap.arenas.count > ARENA_LIMIT)
            return why_set(why, OUTCOME_TORN, "the ring of arenas does not close");
    } while (address != instance->main_arena);
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct heap_region *x = a, *y = b;

    return (x->range.start > y->range.start) - (x->range.start < y->range.start);
}

void glibc_sort_regions(struct glibc *glibc)
{
    if (glibc->heap.regions.count)
        qsort(glibc->heap.regions.items, glibc->heap.regions.count,
              sizeof *glibc->heap.regions.items, by_start);
}

struct heap_region *glibc_region_at(struct glibc *glibc, remote_addr address)
{
    size_t low = 0, high = glibc->heap.regions.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct heap_region *region = &glibc->heap.regions.items[middle];

        if (address < region->range.start)
            high = middle;
        else if (address >= region->range.end)
            low = middle + 1;
        else
            return region;
    }
    return NULL;
}

int glibc_read_arenas(const struct heap_view *view, struct glibc *glibc,
                      struct glibc_instance *instance, struct why *why)
{
    int r;

    instance->first_arena = (uint32_t)glibc->heap.arenas.count;
    r = follow_ring(view, glibc, instance, why);
    if (r == 0)
        glibc_infer_reserve(view, glibc);
    for (uint32_t i = instance->first_arena; r == 0 && i < glibc->heap.arenas.count; i++)
        r = read_regions_of(view, glibc, instance, i);
    if (r == 0)
        instance->arena_count = (uint32_t)glibc->heap.arenas.count - instance->first_arena;
    return r;
}

bool glibc_may_hold_heap(const struct vma *vma)
{
    return vma_is_anonymous(vma) && vma->writable && !vma->shared && !vma->hugetlb &&
           !vma->pfn_mapped && !vma_is_special(vma);
}

/* Whether all of `range` lies in mappings that may hold a heap, without a hole. */
static bool is_heap_memory(const struct maps *maps, struct range range)
{
    for (size_t i = maps_index_above(maps, range.start); i < maps->count && range.start < range.end;
         i++) {
        const struct vma *vma = &maps->items[i];

        if (vma->range.start > range.start || !glibc_may_hold_heap(vma))
            return false;
        range.start = vma->range.end;
    }
    return range.start >= range.end;
}

static const char *fault_of(const struct heap_view *view, const struct glibc *glibc, size_t index)
{
    const struct heap_regions *regions = &glibc->heap.regions;
    struct range range = regions->items[index].range;

    if (range.start >= range.end || !is_heap_memory(view->maps, range))
        return "it does not lie in private anonymous memory of small pages";
    if ((index && regions->items[index - 1].range.end > range.start) ||
        (index + 1 < regions->count && regions->items[index + 1].range.start < range.end))
        return "it overlaps another heap";
    return NULL;
}

static void refuse_region(struct glibc *glibc, size_t index, const char *fault)
{
    struct heap_region *region = &glibc->heap.regions.items[index];
    struct why reason;

    why_set(&reason, 0, "of its memory at 0x%" PRIx64 " %s", region->range.start, fault);
    if (region->kind != REGION_MMAPPED) {
        glibc_refuse_arena(glibc, region->arena, &reason);
        return;
    }
    heap_refuse(&glibc->heap, &reason, "mmapped chunk");
    memmove(region, region + 1, (glibc->heap.regions.count - index - 1) * sizeof *region);
    glibc->heap.regions.count--;
}

void glibc_check_regions(const struct heap_view *view, struct glibc *glibc)
{
    /* Each refusal takes regions away, so that this ends. */
    for (size_t i = 0; i < glibc->heap.regions.count;) {
        const char *fault = fault_of(view, glibc, i);

        if (fault) {
            refuse_region(glibc, i, fault);
            i = 0;
        } else {
            i++;
        }
    }
}
