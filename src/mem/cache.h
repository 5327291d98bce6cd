/*
 * A direct-mapped cache of remote pages, for chasing lists through a stopped process. Page states are asked for in
 * blocks and kept, so that a miss costs one read: of one page, or of its neighbours, too, when the last one was near.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "mem/memory.h"

enum { CACHE_BLOCK_PAGES = 1024, CACHE_AHEAD_PAGES = 32 };
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { CACHE_LINES = 512 }; /* else setting it up is most of what a fuzzer does */
#else
enum { CACHE_LINES = 4096 };
#endif
#define CACHE_BLOCK_BYTES ((uint64_t)CACHE_BLOCK_PAGES * PAGE_BYTES)

struct cache_block {
    uint64_t index;  /* address / CACHE_BLOCK_BYTES */
    uint8_t *flags;  /* CACHE_BLOCK_PAGES */
};

/* Room for a cache's lines, touched already: in a stop a page fault costs more than what is read into the page. */
struct cache_room {
    uint8_t *bytes; /* NULL: none */
};

int cache_room_make(struct cache_room *ret) must_check; /* -ENOMEM; does nothing if it is there */
void cache_room_free(struct cache_room *room);

struct memory_cache {
    struct memory *memory; /* borrowed */
    remote_addr *tags;     /* the page that a line holds, or UINT64_MAX */
    uint8_t *bytes;        /* a page a line: 16 MiB in all */
    struct cache_block *blocks; /* open addressing; 1/4096 of the memory that was looked at */
    size_t block_slots, block_count;
    remote_addr last_miss;
    bool borrowed;         /* `bytes` are a room's */
};

/*
 * Release with memory_cache_close. -ENOMEM. Not for use by several threads. `room`, unless NULL or empty, is borrowed, by one
 * cache at a time.
 */
int memory_cache_open(struct memory_cache *ret, struct memory *memory, const struct cache_room *room) must_check;
void memory_cache_close(struct memory_cache *cache);

/* Whether the aligned word at `address` is held already; then it is read. */
static inline bool memory_cache_peek(const struct memory_cache *cache, remote_addr address, uint64_t *ret_word)
{
    size_t line = (size_t)(address / PAGE_BYTES % CACHE_LINES);

    if (cache->tags[line] != align_down(address, PAGE_BYTES))
        return false;
    memcpy(ret_word, cache->bytes + line * PAGE_BYTES + address % PAGE_BYTES, sizeof *ret_word);
    return true;
}

/* As memory_read; valid only while the process stays stopped. */
int memory_cache_read(struct memory_cache *cache, remote_addr address, void *buffer, size_t length,
                      struct why *why) must_check;
