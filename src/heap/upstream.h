/*
 * What upstream's malloc looks like in memory, version by version, for tests: byte offsets on x86-64, taken from the
 * declarations in malloc.c and arena.c of each release, not from the decoder's tables, with which they are compared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct upstream {
    const char *versions;
    struct {
        uint16_t fastbins_y, top, bins, next, attached_threads, system_mem, bytes; /* fastbins_y 0: has none */
    } malloc_state;
    struct {
        uint16_t thp_mode, thp_pagesize, hp_pagesize; /* 0: has none */
        uint16_t n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold, mmapped_mem, max_mmapped_mem, sbrk_base;
        uint16_t tcache_bins, tcache_max_bytes, tcache_count, bytes;
    } malloc_par;
    uint16_t heap_info_bytes;
    struct {
        uint16_t count_bytes, bins, entries, bytes;
        bool slots_left; /* instead of counts */
    } tcache;
    uint64_t tcache_max_bytes, tcache_count; /* by default */
    bool links_mangled;     /* safe-linking */
    bool mmapped_is_short;  /* the size in an mmapped chunk's header is its mapping's, less 16 */
    bool has_dummy_tcache;  /* threads without a tcache point to a constant */
};

extern const struct upstream upstreams[];
extern const size_t upstream_count;
