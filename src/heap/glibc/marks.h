/*
 * Chunks that look in use to a walker and are not: what the lists say of them.
 *
 * chunk_marks: few and of several kinds (tcaches), a sorted array. chunk_set: perhaps millions of one kind
 * (fastbins), a sparse bitmap of one bit for 32 bytes of heap, as no two chunks begin within 32 bytes of each
 * other: never more than 1/256 of the heap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/range.h"

enum mark_kind { MARK_TCACHE_ENTRY, MARK_TCACHE_STRUCT };

struct chunk_mark {
    remote_addr chunk;
    uint64_t bytes; /* expected chunk size; 0: any */
    enum mark_kind kind;
};

struct chunk_marks {
    struct chunk_mark *items; /* ascending by chunk, once sorted */
    size_t count, capacity;
};

int chunk_marks_add(struct chunk_marks *marks, struct chunk_mark mark) must_check;
void chunk_marks_sort(struct chunk_marks *marks);
size_t chunk_marks_first_at(const struct chunk_marks *marks, remote_addr address); /* index of the first at or above */

enum { CHUNK_SET_LEAF_BYTES = 4096, CHUNK_SET_UNIT = 32 };
#define CHUNK_SET_LEAF_SPAN ((uint64_t)CHUNK_SET_LEAF_BYTES * 8 * 32) /* heap covered by a leaf: 1 MiB */

struct chunk_set_leaf {
    uint64_t index;  /* address / CHUNK_SET_LEAF_SPAN */
    uint8_t *bits;
};

struct chunk_set {
    struct chunk_set_leaf *slots; /* open addressing */
    size_t slot_count, leaf_count;
    struct chunk_set_leaf last;   /* added to last: lists stay in one leaf for long */
};

/* 0, -ENOMEM, or OUTCOME_TORN when a chunk in the same 32 bytes is there already (a list that loops). */
int chunk_set_add(struct chunk_set *set, remote_addr chunk) must_check;
/* The leaf that covers `address`, or NULL: for walkers, which stay in one leaf for long. */
const uint8_t *chunk_set_leaf(const struct chunk_set *set, remote_addr address);
static inline bool chunk_set_leaf_has(const uint8_t *bits, remote_addr chunk)
{
    uint64_t cell = chunk % CHUNK_SET_LEAF_SPAN / 32;

    return bits[cell / 8] >> (cell % 8) & 1;
}
void chunk_set_free(struct chunk_set *set);
