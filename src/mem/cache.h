/*
 * A small direct-mapped cache of remote pages, for chasing lists through a stopped process: neighbours on a
 * list are often neighbours in memory, and asking the kernel for 16 bytes costs as much as asking for 16 KiB.
 */
#pragma once

#include "mem/memory.h"

enum { CACHE_LINES = 512, CACHE_LINE_PAGES = 4 };
#define CACHE_LINE_BYTES ((uint64_t)CACHE_LINE_PAGES * PAGE_BYTES)

struct memory_cache {
    struct memory *memory; /* borrowed */
    remote_addr *tags;     /* start of the line held, or UINT64_MAX */
    uint8_t *flags;        /* CACHE_LINE_PAGES a line */
    uint8_t *bytes;        /* CACHE_LINE_BYTES a line: 8 MiB in all */
};

/* Release with memory_cache_close. -ENOMEM. Not for use by several threads. */
int memory_cache_open(struct memory_cache *ret, struct memory *memory) must_check;
void memory_cache_close(struct memory_cache *cache);

/* As memory_read; valid only while the process stays stopped. */
int memory_cache_read(struct memory_cache *cache, remote_addr address, void *buffer, size_t length,
                      struct why *why) must_check;
