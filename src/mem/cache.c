#include "mem/cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int memory_cache_open(struct memory_cache *ret, struct memory *memory)
{
    struct memory_cache cache = {.memory = memory};

    cache.tags = malloc(CACHE_LINES * sizeof *cache.tags);
    cache.flags = malloc(CACHE_LINES * CACHE_LINE_PAGES);
    cache.bytes = malloc(CACHE_LINES * CACHE_LINE_BYTES);
    if (!cache.tags || !cache.flags || !cache.bytes) {
        memory_cache_close(&cache);
        return -ENOMEM;
    }
    memset(cache.tags, 0xff, CACHE_LINES * sizeof *cache.tags);
    *ret = cache;
    return 0;
}

void memory_cache_close(struct memory_cache *cache)
{
    free(cache->tags);
    free(cache->flags);
    free(cache->bytes);
    *cache = (struct memory_cache){0};
}

static size_t line_of(remote_addr address)
{
    return (size_t)(address / CACHE_LINE_BYTES * UINT64_C(0x9e3779b97f4a7c15) >> 40) % CACHE_LINES;
}

static int load_line(struct memory_cache *cache, size_t line, remote_addr start, struct why *why)
{
    uint8_t *flags = cache->flags + line * CACHE_LINE_PAGES;
    int r;

    cache->tags[line] = UINT64_MAX;
    r = memory_page_flags(cache->memory, start, CACHE_LINE_PAGES, flags, why);
    if (r)
        return r;
    r = memory_read_pages(cache->memory, start, CACHE_LINE_PAGES, flags,
                          cache->bytes + line * CACHE_LINE_BYTES, why);
    if (r)
        return r;
    cache->tags[line] = start;
    return 0;
}

/* Reads up to the end of the page that holds `address`. */
static int read_in_page(struct memory_cache *cache, remote_addr address, void *buffer, size_t length,
                        struct why *why)
{
    remote_addr start = align_down(address, CACHE_LINE_BYTES);
    size_t line = line_of(address), offset = (size_t)(address - start);
    uint8_t flags;
    int r;

    if (cache->tags[line] != start) {
        r = load_line(cache, line, start, why);
        if (r)
            return r;
    }
    flags = cache->flags[line * CACHE_LINE_PAGES + offset / PAGE_BYTES];
    if (!(flags & PAGE_PRESENT) || (flags & PAGE_UNREADABLE))
        return why_set(why, OUTCOME_UNREADABLE, "the page at 0x%" PRIx64 " is not present",
                       align_down(address, PAGE_BYTES));
    memcpy(buffer, cache->bytes + line * CACHE_LINE_BYTES + offset, length);
    return 0;
}

int memory_cache_read(struct memory_cache *cache, remote_addr address, void *buffer, size_t length,
                      struct why *why)
{
    uint8_t *to = buffer;

    while (length) {
        size_t in_page = PAGE_BYTES - (size_t)(address % PAGE_BYTES);
        size_t now = length < in_page ? length : in_page;
        int r = read_in_page(cache, address, to, now, why);

        if (r)
            return r;
        address += now;
        to += now;
        length -= now;
    }
    return 0;
}
