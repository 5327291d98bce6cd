/*
 * What the program holds, by size class, and which of it pins pages: filled by a walk, told by findings.
 *
 * A page is pinned when it holds free bytes of a binned chunk or a top beside bytes that are in use, or that wait in a
 * tcache or a fastbin: it cannot be given back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Chunk sizes in steps of 16 below CENSUS_EXACT_BYTES, then by power of two; the last class has no upper end. */
enum { CENSUS_EXACT_BYTES = 1024, CENSUS_EXACT = CENSUS_EXACT_BYTES / 16, CENSUS_CLASSES = CENSUS_EXACT + 24 };

struct census_class {
    uint64_t blocks, bytes;    /* in use, of whole chunks */
    uint64_t pinned_pages;     /* that a chunk of this class, in use or cached, has bytes on */
};

struct heap_census {
    struct census_class classes[CENSUS_CLASSES];
    uint64_t pinned_pages;       /* each counted once */
    uint64_t pinning_bytes;      /* what is not free on them */
};

/* Whether there is anything in it: a heap whose walk takes none, or that holds nothing, has no figures to tell. */
static inline bool census_is_taken(const struct heap_census *census)
{
    for (unsigned i = 0; i < CENSUS_CLASSES; i++)
        if (census->classes[i].blocks)
            return true;
    return false;
}

/* The class of a chunk of `bytes`. */
static inline unsigned census_class_of(uint64_t bytes)
{
    unsigned log;

    if (bytes < CENSUS_EXACT_BYTES)
        return (unsigned)(bytes / 16);
    log = 63 - (unsigned)__builtin_clzll(bytes) - 10; /* 0 for 1 KiB */
    return log < CENSUS_CLASSES - CENSUS_EXACT ? CENSUS_EXACT + log : CENSUS_CLASSES - 1;
}

/* The smallest chunk of class `index`, in bytes. */
static inline uint64_t census_class_least(unsigned index)
{
    return index < CENSUS_EXACT ? (uint64_t)index * 16 : (uint64_t)CENSUS_EXACT_BYTES << (index - CENSUS_EXACT);
}
