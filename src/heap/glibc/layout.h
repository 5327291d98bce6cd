/*
 * Layouts of glibc's malloc structures, by the upstream change that made them differ. Which row holds for a
 * process is inferred from its data; version strings are shown to people and decide nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_ALIGNMENT = 16,
    CHUNK_HEADER_BYTES = 16,    /* prev_size and size */
    CHUNK_MIN_BYTES = 32,
    FENCE_BYTES = 16,           /* the size in a fence's header, which no chunk has */
    CHUNK_LINKS_BYTES = 48,     /* header, fd, bk, fd_nextsize, bk_nextsize: sizeof(struct malloc_chunk) */
    CHUNK_PREV_INUSE = 1,
    CHUNK_MMAPPED = 2,
    CHUNK_NON_MAIN = 4,
    CHUNK_FLAGS = 7,

    BIN_COUNT = 127,            /* bins 1..127; the last is never used, so always empty */
    FASTBIN_COUNT = 10,
    FASTBIN_SETS = 2 * FASTBIN_COUNT, /* see fastbin_set_of */
    TCACHE_SMALL_BINS = 64,     /* of one chunk size each */
    ARENA_NONCONTIGUOUS = 2,    /* malloc_state.flags */
};

/* struct malloc_state; byte offsets. The lock is at 0 and flags at 4 in all of them. */
struct state_layout {
    const char *change;
    uint16_t fastbins; /* 0: has none */
    uint16_t top, last_remainder, bins, next, next_free, attached_threads, system_mem, max_system_mem, size;
};

/* struct malloc_par. trim_threshold 0, top_pad 8, mmap_threshold 16, arena_test 24, arena_max 32 in all of them. */
struct par_layout {
    const char *change;
    uint16_t thp_pagesize, hp_pagesize; /* 0: has none */
    uint16_t n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold, mmapped_mem, max_mmapped_mem, sbrk_base;
    uint16_t tcache_bins, tcache_max_bytes, tcache_count, size;
};

/* struct heap_info: ar_ptr 0, prev 8, size 16, mprotect_size 24 in all of them. */
struct heap_info_layout {
    const char *change;
    uint16_t size;
};

/* struct tcache_perthread_struct: counts, then entries. Bins behind the small ones hold sizes up to a power of two. */
struct tcache_layout {
    const char *change;
    uint16_t count_bytes, bins, entries, size;
    bool counts_down; /* a count is what there is still room for */
};

extern const struct state_layout state_layouts[];
extern const struct par_layout par_layouts[];
extern const struct heap_info_layout heap_info_layouts[];
extern const struct tcache_layout tcache_layouts[];
extern const size_t state_layout_count, par_layout_count, heap_info_layout_count, tcache_layout_count;

/* HEAP_MAX_SIZE without huge pages: 2 * DEFAULT_MMAP_THRESHOLD_MAX. */
#define HEAP_RESERVE_BYTES (UINT64_C(64) << 20)
#define DEFAULT_THRESHOLD  (UINT64_C(128) << 10)
