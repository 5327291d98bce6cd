/*
 * mp_, by content: a place in the same data segment where every field is plausible and the counters
 * agree with each other and with the main arena. Then the settings in force, as they are and not as
 * somebody set them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/glibc.h"

enum {
    PAR_BYTES_MOST = 136,
    PAR_MMAP_THRESHOLD = 16,
    PAR_ARENA_TEST = 24,
    PAR_ARENA_MAX = 32,
    SEARCH_BYTES = 32768, /* either side of the main arena: they are statics of one object file */
    TCACHE_BOUND_MOST = (4 << 20) + 1,
};

/*
 * The bound against the number of bins: by chunk size of the last bin. Until 2.41 it is the largest
 * request, in 2.42 the largest chunk (but for the default, cbfd798810), since 2.43 that and 1
 * (ad4caba414). A bound that needs large bins leaves the number of the small ones.
 */
static bool tcache_bound_fits(uint64_t bins, uint64_t most)
{
    uint64_t chunk = bins * 16 + 16;

    if (most <= chunk + 1)
        return most + 24 > chunk || bins == 1;
    return bins == TCACHE_SMALL_BINS && most <= TCACHE_BOUND_MOST && most % 16 <= 1;
}

/* Until 2.29 the tunable tcache_count was not checked at all: what could not work is not ruled out.
 */
static bool tcache_fields_fit(const uint8_t *par, const struct par_layout *layout)
{
    uint64_t bins = field_u64(par, layout->tcache_bins),
             most = field_u64(par, layout->tcache_max_bytes);

    return bins >= 1 && bins <= TCACHE_SMALL_BINS && tcache_bound_fits(bins, most) &&
           field_u64(par, layout->tcache_count) <= UINT32_MAX;
}

/*
 * The sum is of whole mappings. Since 2.43 each mremap adds 16 bytes that are not there (614cfd0f8a
 * made the size in the chunk's header 16 less, and mremap_chunk still subtracts that).
 */
static bool counters_fit(const uint8_t *par, const struct par_layout *layout)
{
    uint32_t count = field_u32(par, layout->n_mmaps), most = field_u32(par, layout->max_n_mmaps);
    uint64_t bytes = field_u64(par, layout->mmapped_mem),
             most_bytes = field_u64(par, layout->max_mmapped_mem);

    return count <= most && bytes <= most_bytes && bytes % CHUNK_ALIGNMENT == 0 &&
           bytes / PAGE_BYTES >= count;
}

/* A size of pages that somebody set: a power of two, or something here is no mp_. */
static bool is_page_size(uint64_t bytes)
{
    return bytes >= PAGE_BYTES && bytes <= UINT64_C(1) << 30 && (bytes & (bytes - 1)) == 0;
}

/* A field that not every layout has: 0 where there is none. */
static uint64_t optional_u64(const uint8_t *par, uint16_t offset)
{
    return offset ? field_u64(par, offset) : 0;
}

static bool page_sizes_fit(const uint8_t *par, const struct par_layout *layout)
{
    uint64_t thp = optional_u64(par, layout->thp_pagesize);
    uint64_t hp = optional_u64(par, layout->hp_pagesize);

    return (!thp || is_page_size(thp)) && (!hp || is_page_size(hp));
}

/* The main arena's memory begins there, and its beginning is never given back. */
static bool is_sbrk_base(const struct heap_view *view, remote_addr address)
{
    const struct vma *vma = maps_find(view->maps, address);

    return vma && vma->writable && !vma->shared;
}

static bool par_fits(const struct heap_view *view, const uint8_t *par,
                     const struct par_layout *layout)
{
    uint64_t arena_test = field_u64(par, PAR_ARENA_TEST);

    return arena_test >= 1 && arena_test <= 65536 && field_u64(par, PAR_ARENA_MAX) <= 1 << 20 &&
           field_u32(par, layout->no_dyn_threshold) <= 1 && page_sizes_fit(par, layout) &&
           counters_fit(par, layout) && tcache_fields_fit(par, layout) &&
           is_sbrk_base(view, field_u64(par, layout->sbrk_base));
}

struct par_search {
    remote_addr address;
    const struct par_layout *layout;
    unsigned hits;
};

static void search_buffer(const struct heap_view *view, const uint8_t *buffer, size_t bytes,
                          remote_addr start, struct par_search *search)
{
    for (size_t offset = 0; offset + PAR_BYTES_MOST <= bytes; offset += 16)
        for (size_t i = 0; i < par_layout_count; i++)
            if (par_fits(view, buffer + offset, &par_layouts[i])) {
                search->address = start + offset;
                search->layout = &par_layouts[i];
                search->hits++;
            }
}

/* Reads what is readable around the main arena, page by page, the rest as zeros. */
static int read_around(const struct heap_view *view, remote_addr middle, uint8_t *buffer,
                       remote_addr *ret_start, struct why *why)
{
    enum { PAGES = 2 * SEARCH_BYTES / 4096 + 1 };
    uint8_t flags[PAGES];
    remote_addr start = align_down(middle - SEARCH_BYTES, PAGE_BYTES);
    int r = memory_page_flags(view->memory, start, PAGES, flags, why);

    if (r == 0)
        r = memory_read_pages(view->memory, start, PAGES, flags, buffer, why);
    if (r == 0)
        *ret_start = start;
    return r;
}

static int find_par(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    const size_t bytes = 2 * SEARCH_BYTES + PAGE_BYTES;
    auto_free uint8_t *buffer = malloc(bytes);
    struct par_search search = {0};
    remote_addr start;
    int r;

    if (!buffer)
        return -ENOMEM;
    r = read_around(view, glibc->main_arena, buffer, &start, why);
    if (r)
        return r;
    search_buffer(view, buffer, bytes, start, &search);
    if (search.hits != 1)
        return why_set(
            why, OUTCOME_LAYOUT_UNKNOWN,
            "malloc's parameters (mp_) fit %s known layout near the main arena at 0x%" PRIx64,
            search.hits ? "more than one" : "no", glibc->main_arena);
    glibc->mp = search.address;
    glibc->par = search.layout;
    return 0;
}

int glibc_read_settings(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct heap_settings *settings = &glibc->heap.settings;
    uint8_t par[PAR_BYTES_MOST];
    int r = find_par(view, glibc, why);

    if (r == 0)
        r = memory_read(view->memory, glibc->mp, par, glibc->par->size, why);
    if (r)
        return r;
    *settings = (struct heap_settings){
        .trim_threshold = field_u64(par, 0),
        .top_pad = field_u64(par, 8),
        .mmap_threshold = field_u64(par, PAR_MMAP_THRESHOLD),
        .dynamic_threshold = field_u32(par, glibc->par->no_dyn_threshold) == 0,
        .arena_max = field_u64(par, PAR_ARENA_MAX),
        .arena_test = field_u64(par, PAR_ARENA_TEST),
        .mmap_max = field_u32(par, glibc->par->n_mmaps_max),
        .mmapped_count = field_u32(par, glibc->par->n_mmaps),
        .mmapped_bytes = field_u64(par, glibc->par->mmapped_mem),
        .tcache_count = field_u64(par, glibc->par->tcache_count),
        .tcache_max_bytes = field_u64(par, glibc->par->tcache_max_bytes),
        .hp_pagesize = optional_u64(par, glibc->par->hp_pagesize),
        .thp_pagesize = optional_u64(par, glibc->par->thp_pagesize),
    };
    glibc->heap.places = (struct heap_setting_places){
        .mmap_threshold = glibc->mp + PAR_MMAP_THRESHOLD,
        .trim_threshold = glibc->mp,
        .mmap_max = glibc->mp + glibc->par->n_mmaps_max,
        .static_thresholds = glibc->mp + glibc->par->no_dyn_threshold,
    };
    glibc->heap.trim_unit = settings->thp_pagesize ? settings->thp_pagesize : PAGE_BYTES;
    return 0;
}
