#include "runtime/content.h"

#include <stdio.h>
#include <string.h>

enum { KIB = 1024, ALIGNMENT = 16, CLASSES = 32 };

/* Objects/obmalloc.c, struct pool_header, unchanged since 2.5 but for what `ref` holds. */
struct pool_header {
    uint32_t count, unused;
    uint64_t free_block, next_pool, previous_pool;
    uint32_t arena_index, size_class, next_offset, last_offset;
};

static bool series_of(const struct owner *owner, unsigned *major, unsigned *minor)
{
    return sscanf(owner->version, "%2u.%3u", major, minor) == 2;
}

/* Pools have 4 KiB, since 3.10 (with the radix tree) 16 KiB; without the GIL there are none. */
static uint64_t pool_bytes(const struct owner *owner)
{
    unsigned major, minor;

    if (!series_of(owner, &major, &minor) || major < 2 || major > 3 || strchr(owner->version, 't'))
        return 0;
    return major == 2 || minor < 10 ? 4 * KIB : 16 * KIB;
}

/* Alignment is 16 since 3.7; before, 8, with twice the classes. */
static bool pool_has_size(const struct pool_header *pool, uint64_t bytes, uint64_t alignment)
{
    uint64_t size = ((uint64_t)pool->size_class + 1) * alignment, header = sizeof *pool;

    if (size > CLASSES * ALIGNMENT || pool->last_offset != bytes - size)
        return false;
    /* next_offset is the next block never handed out: at most one block behind the last. */
    return pool->next_offset >= header && pool->next_offset <= bytes &&
           (pool->next_offset - header) % size == 0 && pool->count <= (bytes - header) / size;
}

static bool is_pool(const struct pool_header *pool, remote_addr address, uint64_t bytes)
{
    uint64_t inside = pool->free_block - address;

    if (pool->free_block && (inside < sizeof *pool || inside >= bytes || inside % 8))
        return false;
    return pool_has_size(pool, bytes, ALIGNMENT) || pool_has_size(pool, bytes, ALIGNMENT / 2);
}

static int look_for_pool(struct memory *memory, remote_addr address, uint64_t stride)
{
    static const struct pool_header never_used;
    struct pool_header pool;
    int r = memory_read(memory, address, &pool, sizeof pool, NULL);

    if (r != 0)
        return r;
    if (memcmp(&pool, &never_used, sizeof pool) == 0)
        return OUTCOME_UNREADABLE;
    return is_pool(&pool, address, stride) ? 0 : OUTCOME_NOT_FOUND;
}

/* HEAP_PAGE_ALIGN_LOG: 14, since 3.2 16. Up to 3.0 pages come from malloc. */
static uint64_t ruby_page_bytes(const struct owner *owner)
{
    unsigned major, minor;

    if (!series_of(owner, &major, &minor) || major != 3 || minor < 1)
        return 0;
    return minor < 2 ? 16 * KIB : 64 * KIB;
}

/* gc.c, struct heap_page: what it tells of its slots must fill the page. 3.1 has `start` at 32,
 * later ones at 40. */
static bool describes_page(const uint8_t record[48], remote_addr page, uint64_t bytes)
{
    uint16_t slot_bytes, slots;
    uint64_t start;

    memcpy(&slot_bytes, record, sizeof slot_bytes);
    memcpy(&slots, record + 2, sizeof slots);
    if (slot_bytes < 32 || slot_bytes > 2048 || slot_bytes % 8)
        return false;
    for (size_t offset = 32; offset <= 40; offset += 8) {
        memcpy(&start, record + offset, sizeof start);
        uint64_t before = start - page, filled = before + (uint64_t)slots * slot_bytes;

        if (before >= 8 && before <= slot_bytes + 8u && filled <= bytes &&
            bytes - filled < 2u * slot_bytes)
            return true;
    }
    return false;
}

/* The first word of a page's body points to its record. */
static int look_for_page(struct memory *memory, remote_addr address, uint64_t stride)
{
    uint8_t record[48];
    remote_addr where;
    int r = memory_read_u64(memory, address, &where, NULL);

    if (r != 0)
        return r;
    if (where == 0)
        return OUTCOME_UNREADABLE;
    if (where % 8)
        return OUTCOME_NOT_FOUND;
    r = memory_read(memory, where, record, sizeof record, NULL);
    if (r != 0)
        return r < 0 ? r : OUTCOME_NOT_FOUND;
    return describes_page(record, address, stride) ? 0 : OUTCOME_NOT_FOUND;
}

static const struct content_test tests[] = {
    {.owner = "CPython",
     .evidence = "its small objects' pools are there",
     .exhaustive = true,
     .stride = pool_bytes,
     .look = look_for_pool},
    /* Fibers' stacks and compiled code are in mappings of their own. */
    {.owner = "Ruby",
     .evidence = "its object pages are there",
     .exhaustive = false,
     .stride = ruby_page_bytes,
     .look = look_for_page},
};

const struct content_test *content_test_of(const struct owner *owner, uint64_t *ret_stride)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(tests[i].owner, owner->name) == 0) {
            *ret_stride = tests[i].stride(owner);
            return *ret_stride ? &tests[i] : NULL;
        }
    return NULL;
}
