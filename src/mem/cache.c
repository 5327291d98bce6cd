#include "mem/cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int cache_room_make(struct cache_room *ret)
{
    void *bytes;

    if (ret->bytes)
        return 0;
    bytes = mmap(NULL, CACHE_LINES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (bytes == MAP_FAILED)
        return -ENOMEM;
    ret->bytes = bytes;
    return 0;
}

void cache_room_free(struct cache_room *room)
{
    if (room->bytes)
        munmap(room->bytes, CACHE_LINES * PAGE_BYTES);
    room->bytes = NULL;
}

int memory_cache_open(struct memory_cache *ret, struct memory *memory,
                      const struct cache_room *room)
{
    struct memory_cache cache = {.memory = memory, .borrowed = room && room->bytes};

    cache.tags = malloc(CACHE_LINES * sizeof *cache.tags);
    cache.bytes = cache.borrowed ? room->bytes : malloc(CACHE_LINES * PAGE_BYTES);
    if (!cache.tags || !cache.bytes) {
        memory_cache_close(&cache);
        return -ENOMEM;
    }
    memset(cache.tags, 0xff, CACHE_LINES * sizeof *cache.tags);
    *ret = cache;
    return 0;
}

void memory_cache_close(struct memory_cache *cache)
{
    for (size_t i = 0; i < cache->block_slots; i++)
        free(cache->blocks[i].flags);
    free(cache->blocks);
    free(cache->tags);
    if (!cache->borrowed)
        free(cache->bytes);
    *cache = (struct memory_cache){0};
}

static uint64_t scatter(uint64_t value)
{
    return (value * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

static struct cache_block *slot_of(const struct memory_cache *cache, uint64_t index)
{
    size_t slot = (size_t)scatter(index) & (cache->block_slots - 1);

    while (cache->blocks[slot].flags && cache->blocks[slot].index != index)
        slot = (slot + 1) & (cache->block_slots - 1);
    return &cache->blocks[slot];
}

static int grow_blocks(struct memory_cache *cache)
{
    struct memory_cache larger = {.block_slots = cache->block_slots ? cache->block_slots * 2 : 64};

    larger.blocks = calloc(larger.block_slots, sizeof *larger.blocks);
    if (!larger.blocks)
        return -ENOMEM;
    for (size_t i = 0; i < cache->block_slots; i++)
        if (cache->blocks[i].flags)
            *slot_of(&larger, cache->blocks[i].index) = cache->blocks[i];
    free(cache->blocks);
    cache->blocks = larger.blocks;
    cache->block_slots = larger.block_slots;
    return 0;
}

static int load_block(struct memory_cache *cache, uint64_t index,
                      const struct cache_block **ret_block, struct why *why)
{
    struct cache_block *slot;
    uint8_t *flags;
    int r;

    if (cache->block_count * 2 >= cache->block_slots && (r = grow_blocks(cache)) != 0)
        return r;
    slot = slot_of(cache, index);
    if (!slot->flags) {
        flags = malloc(CACHE_BLOCK_PAGES);
        r = flags ? memory_page_flags(cache->memory, index * CACHE_BLOCK_BYTES, CACHE_BLOCK_PAGES,
                                      flags, why)
                  : -ENOMEM;
        if (r) {
            free(flags);
            return r;
        }
        *slot = (struct cache_block){.index = index, .flags = flags};
        cache->block_count++;
    }
    *ret_block = slot;
    return 0;
}

static bool is_near(remote_addr a, remote_addr b)
{
    return (a > b ? a - b : b - a) <= 2 * PAGE_BYTES;
}

/* Which pages to read for a miss; neighbours have neighbouring lines, as the number of lines is a
 * multiple of them. */
static struct range pages_for(struct memory_cache *cache, remote_addr page)
{
    remote_addr last = cache->last_miss, ahead = CACHE_AHEAD_PAGES * PAGE_BYTES;

    _Static_assert(CACHE_LINES % CACHE_AHEAD_PAGES == 0 &&
                       CACHE_BLOCK_PAGES % CACHE_AHEAD_PAGES == 0,
                   "pages read together lie in one block, and their lines in a row");
    cache->last_miss = page;
    if (!is_near(page, last) && !is_near(page, align_down(last, ahead)) &&
        !is_near(page, align_down(last, ahead) + ahead))
        return (struct range){page, page + PAGE_BYTES};
    page = align_down(page, ahead);
    return (struct range){page, page + ahead};
}

/* Brings pages into their lines; those that are not present stay out. */
static int load_lines(struct memory_cache *cache, struct range pages, const uint8_t *states,
                      struct why *why)
{
    size_t line = pages.start / PAGE_BYTES % CACHE_LINES, count = range_length(pages) / PAGE_BYTES;
    uint8_t flags[CACHE_AHEAD_PAGES];
    int r;

    memcpy(flags, states, count);
    for (size_t i = 0; i < count; i++)
        cache->tags[line + i] = UINT64_MAX;
    r = memory_read_pages(cache->memory, pages.start, count, flags,
                          cache->bytes + line * PAGE_BYTES, why);
    for (size_t i = 0; r == 0 && i < count; i++)
        if ((flags[i] & (PAGE_PRESENT | PAGE_UNREADABLE)) == PAGE_PRESENT)
            cache->tags[line + i] = pages.start + i * PAGE_BYTES;
    return r;
}

/* Brings the page into its line. OUTCOME_UNREADABLE when it is not present. */
static int load_page(struct memory_cache *cache, remote_addr page, struct why *why)
{
    const struct cache_block *block;
    struct range pages;
    int r = load_block(cache, page / CACHE_BLOCK_BYTES, &block, why);

    if (r)
        return r;
    pages = pages_for(cache, page);
    r = load_lines(cache, pages, block->flags + pages.start % CACHE_BLOCK_BYTES / PAGE_BYTES, why);
    if (r == 0 && cache->tags[page / PAGE_BYTES % CACHE_LINES] != page)
        return why_set(why, OUTCOME_UNREADABLE, "the page at 0x%" PRIx64 " is not present", page);
    return r;
}

/* Reads up to the end of the page that holds `address`. */
static int read_in_page(struct memory_cache *cache, remote_addr address, void *buffer,
                        size_t length, struct why *why)
{
    remote_addr page = align_down(address, PAGE_BYTES);
    size_t line = page / PAGE_BYTES % CACHE_LINES; /* neighbours never evict each other */

    if (cache->tags[line] != page) {
        int r = load_page(cache, page, why);

        if (r)
            return r;
    }
    memcpy(buffer, cache->bytes + line * PAGE_BYTES + address % PAGE_BYTES, length);
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
