#include "heap/glibc/chain.h"

/* What others got from sbrk is searched as far as this for the next chunk. */
#define FOREIGN_LIMIT_BYTES (UINT64_C(256) << 20)

/* A chain of so many chunks is no chance. */
enum { LONG_CHAIN = 1 << 16, COST_BYTES = 256 };

int chain_reader_open(struct chain_reader *ret, const struct glibc *glibc, struct memory *memory)
{
    ret->glibc = glibc;
    return memory_cache_open(&ret->cache, memory, NULL);
}

void chain_reader_close(struct chain_reader *reader)
{
    memory_cache_close(&reader->cache);
}

int chain_size_word(struct chain_reader *reader, remote_addr chunk, uint64_t *ret_size)
{
    if (memory_cache_peek(&reader->cache, chunk + 8, ret_size))
        return 0;
    return memory_cache_read(&reader->cache, chunk + 8, ret_size, sizeof *ret_size, NULL);
}

/* The main arena whose top begins at `chunk`, or NULL. */
static const struct glibc_instance *find_top(const struct glibc *glibc, remote_addr chunk)
{
    for (size_t i = 0; i < glibc->instance_count; i++)
        if (glibc->heap.arenas.items[glibc->instances[i].first_arena].top == chunk)
            return &glibc->instances[i];
    return NULL;
}

/*
 * A fence more may stand before the two: what was left of a small top. So they end where the next
 * header is none, or at a page.
 */
static int ends_here(struct chain_reader *reader, remote_addr after, remote_addr limit, bool *ret)
{
    uint64_t size;
    int r;

    *ret = true;
    if (after % PAGE_BYTES == 0 || after + CHUNK_HEADER_BYTES > limit)
        return 0;
    r = chain_size_word(reader, after, &size);
    if (r == 0)
        *ret = (size & ~(uint64_t)CHUNK_FLAGS) != FENCE_BYTES;
    return r < 0 ? r : 0;
}

/* One step. `fences`: how many stand in a row before this. */
static int follow_one(struct chain_reader *reader, remote_addr *chunk, remote_addr limit,
                      unsigned *fences, struct chain *chain)
{
    uint64_t size, bytes;
    bool ends = false;
    int r = chain_size_word(reader, *chunk, &size);

    chain->kind = CHAIN_BROKEN;
    if (r)
        return r < 0 ? r : 0;
    bytes = size & ~(uint64_t)CHUNK_FLAGS;
    *fences = bytes == FENCE_BYTES ? *fences + 1 : 0;
    if (size & (CHUNK_MMAPPED | CHUNK_NON_MAIN) || bytes % CHUNK_ALIGNMENT || bytes < FENCE_BYTES ||
        bytes > limit - *chunk)
        return 0;
    *chunk += bytes;
    chain->cost += bytes / COST_BYTES < CHAIN_COST_MOST ? bytes / COST_BYTES : CHAIN_COST_MOST;
    chain->kind = CHAIN_OPEN;
    if (*fences >= 2)
        r = ends_here(reader, *chunk, limit, &ends);
    if (ends) {
        chain->kind = CHAIN_FENCED;
        chain->end = *chunk;
    }
    return r;
}

int chain_follow(struct chain_reader *reader, remote_addr start, remote_addr limit, uint64_t cost,
                 struct chain *ret)
{
    struct chain chain = {.kind = CHAIN_OPEN};
    remote_addr chunk = start;
    unsigned fences = 0;
    int r = 0;

    while (r == 0 && chain.kind == CHAIN_OPEN && chain.cost < cost) {
        const struct glibc_instance *instance = find_top(reader->glibc, chunk);

        if (instance) {
            chain.kind = CHAIN_TOP;
            chain.arena = instance->first_arena;
            chain.end = chunk + reader->glibc->heap.arenas.items[chain.arena].top_bytes;
            break;
        }
        if (chunk + CHUNK_HEADER_BYTES > limit)
            chain.kind = CHAIN_BROKEN;
        else
            r = follow_one(reader, &chunk, limit, &fences, &chain);
        chain.cost++;
    }
    if (r == 0)
        *ret = chain;
    return r;
}

int chain_is_fenced(struct chain_reader *reader, remote_addr end, bool *ret)
{
    uint64_t sizes[2];
    int r = chain_size_word(reader, end - 2 * FENCE_BYTES, &sizes[0]);

    if (r == 0)
        r = chain_size_word(reader, end - FENCE_BYTES, &sizes[1]);
    *ret = r == 0 && (sizes[0] & ~(uint64_t)CHUNK_PREV_INUSE) == FENCE_BYTES &&
           sizes[1] == (FENCE_BYTES | CHUNK_PREV_INUSE);
    return r < 0 ? r : 0;
}

/* The first chunk of a piece says that the one before it is in use. */
static int begins_piece(struct chain_reader *reader, remote_addr chunk, remote_addr limit,
                        bool *ret)
{
    struct chain chain;
    uint64_t size;
    int r = chain_size_word(reader, chunk, &size);

    *ret = false;
    if (r || !(size & CHUNK_PREV_INUSE))
        return r;
    r = chain_follow(reader, chunk, limit, LONG_CHAIN, &chain);
    *ret = r == 0 && chain.kind != CHAIN_BROKEN;
    return r;
}

int chain_search(struct chain_reader *reader, struct range rest, remote_addr *ret_start)
{
    remote_addr chunk = rest.start;

    while (range_holds(rest, chunk, CHUNK_HEADER_BYTES) &&
           chunk - rest.start < FOREIGN_LIMIT_BYTES) {
        bool begins;
        int r = begins_piece(reader, chunk, rest.end, &begins);

        if (r < 0)
            return r;
        if (r == 0 && begins) {
            *ret_start = chunk;
            return 0;
        }
        /* Behind a page that is not present, the next one. */
        chunk = r ? align_down(chunk, PAGE_BYTES) + PAGE_BYTES : chunk + CHUNK_ALIGNMENT;
    }
    return OUTCOME_NOT_FOUND;
}

int glibc_find_next_piece(const struct heap_view *view, const struct glibc *glibc,
                          struct range rest, remote_addr *ret_start)
{
    struct chain_reader reader;
    int r = chain_reader_open(&reader, glibc, view->memory);

    if (r)
        return r;
    r = chain_search(&reader, rest, ret_start);
    chain_reader_close(&reader);
    return r;
}
