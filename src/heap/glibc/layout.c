#include "heap/glibc/layout.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct state_layout state_layouts[] = {
    {
        .change = "2.23: attached_threads (a62719ba90)",
        .fastbins = 8,
        .top = 88,
        .last_remainder = 96,
        .bins = 104,
        .next = 2152,
        .next_free = 2160,
        .attached_threads = 2168,
        .system_mem = 2176,
        .max_system_mem = 2184,
        .size = 2192,
    },
    {
        .change = "2.27: have_fastchunks leaves flags (e956075a5a, an int since 2c2245b92c)",
        .fastbins = 16,
        .top = 96,
        .last_remainder = 104,
        .bins = 112,
        .next = 2160,
        .next_free = 2168,
        .attached_threads = 2176,
        .system_mem = 2184,
        .max_system_mem = 2192,
        .size = 2200,
    },
    {
        .change = "2.43: no fastbins (bf1015fb2d, bb5a4f5295)",
        .top = 8,
        .last_remainder = 16,
        .bins = 24,
        .next = 2072,
        .next_free = 2080,
        .attached_threads = 2088,
        .system_mem = 2096,
        .max_system_mem = 2104,
        .size = 2112,
    },
};
const size_t state_layout_count = COUNT(state_layouts);

const struct par_layout par_layouts[] = {
    {
        .change = "2.26: tcache fields (d5c3fafc43)",
        .n_mmaps = 40,
        .n_mmaps_max = 44,
        .max_n_mmaps = 48,
        .no_dyn_threshold = 52,
        .mmapped_mem = 56,
        .max_mmapped_mem = 64,
        .sbrk_base = 72,
        .tcache_bins = 80,
        .tcache_max_bytes = 88,
        .tcache_count = 96,
        .size = 112,
    },
    {
        .change = "2.35: thp_pagesize (5f6d8d97c6), hp_pagesize and hp_flags (98d5fcb8d0)",
        .thp_pagesize = 40,
        .hp_pagesize = 48,
        .n_mmaps = 60,
        .n_mmaps_max = 64,
        .max_n_mmaps = 68,
        .no_dyn_threshold = 72,
        .mmapped_mem = 80,
        .max_mmapped_mem = 88,
        .sbrk_base = 96,
        .tcache_bins = 104,
        .tcache_max_bytes = 112,
        .tcache_count = 120,
        .size = 136,
    },
    {
        .change = "2.43: thp_mode (9097cbf5d8)",
        .thp_pagesize = 48,
        .hp_pagesize = 56,
        .n_mmaps = 68,
        .n_mmaps_max = 72,
        .max_n_mmaps = 76,
        .no_dyn_threshold = 80,
        .mmapped_mem = 88,
        .max_mmapped_mem = 96,
        .sbrk_base = 104,
        .tcache_bins = 112,
        .tcache_max_bytes = 120,
        .tcache_count = 128,
        .size = 136, /* 2.43 has tcache_unsorted_limit behind it, 2.44 no more: nothing needs it */
    },
};
const size_t par_layout_count = COUNT(par_layouts);

const struct heap_info_layout heap_info_layouts[] = {
    {.change = "2.10: ar_ptr, prev, size, mprotect_size", .size = 32},
    {.change = "2.35: pagesize and padding (c1beb51d08)", .size = 48},
};
const size_t heap_info_layout_count = COUNT(heap_info_layouts);

const struct tcache_layout tcache_layouts[] = {
    {.change = "2.26: counts are char (d5c3fafc43)",
     .count_bytes = 1,
     .bins = 64,
     .entries = 64,
     .size = 576},
    {.change = "2.30: counts are uint16_t (1f50f2ad85)",
     .count_bytes = 2,
     .bins = 64,
     .entries = 128,
     .size = 640},
    {.change = "2.42: large bins (cbfd798810), counts of what there is room for (7e10e30e64)",
     .count_bytes = 2,
     .bins = 76,
     .entries = 152,
     .size = 760,
     .counts_down = true},
};
const size_t tcache_layout_count = COUNT(tcache_layouts);
