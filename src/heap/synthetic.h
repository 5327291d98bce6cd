/*
 * A heap of a given upstream version, written word by word into a fake memory: a main arena, a thread arena of two
 * heaps, mmapped chunks, tcaches, fastbins and bins, and what the decoder must find of it.
 */
#pragma once

#include "heap/heap.h"
#include "heap/upstream.h"
#include "mem/fake.h"

enum {
    SYNTHETIC_THREADS = 3,
    SYNTHETIC_EXTENTS = 8,
    SYNTHETIC_VMAS = 16,
    SYNTHETIC_CHUNKS = 1 << 14,
    SYNTHETIC_BINS = 76,
};

struct synthetic_options {
    uint64_t tcache_max_bytes, tcache_count; /* as they stand in mp_; 0: the version's own */
    uint64_t drift;                          /* bytes by which mmapped_mem is too large */
    bool chained;                            /* all mmapped chunks in a row, and the headers at their starts right */
    uint64_t hp_pagesize;
    uint64_t heap_reserve;                   /* HEAP_MAX_SIZE; 0: 64 MiB */
};

struct synthetic_chunk {
    remote_addr address;
    uint64_t bytes;
    unsigned state; /* enum span_state */
};

struct synthetic_arena {
    remote_addr address, top;
    uint64_t system_mem;
    bool main;
    remote_addr fastbins[10], bin_tails[128];
};

struct synthetic_tcache {
    remote_addr address; /* 0: has none */
    remote_addr entries[SYNTHETIC_BINS];
    unsigned counts[SYNTHETIC_BINS];
};

struct synthetic {
    const struct upstream *upstream;
    struct synthetic_options options;
    struct fake_extent extents[SYNTHETIC_EXTENTS];
    size_t extent_count;
    struct vma vmas[SYNTHETIC_VMAS];
    struct maps maps;
    struct fake_memory memory;
    struct heap_thread threads[SYNTHETIC_THREADS];
    struct heap_view view;
    struct synthetic_arena arenas[2]; /* the main one first */
    struct synthetic_tcache tcaches[SYNTHETIC_THREADS];
    remote_addr mp;
    uint64_t mmapped_count, mmapped_bytes;
    struct synthetic_chunk *chunks; /* what must be found, in no order */
    size_t chunk_count;
    uint64_t seed;
};

/* Aborts when memory is short: for tests only. */
void synthetic_build(struct synthetic *ret, const struct upstream *upstream, struct synthetic_options options);
void synthetic_free(struct synthetic *synthetic);

/* A word of it, to be changed. */
uint64_t *synthetic_word(struct synthetic *synthetic, remote_addr address);
