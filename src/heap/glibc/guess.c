/*
 * Where chunks seem to begin after an arbitrary place: the first 16-aligned address from which a
 * chain of headers is plausible. On real heaps 8 in a row were never wrong; a wrong guess costs
 * time only.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/walk.h"

enum { GUESS_PAGES = 64, CHAIN_LENGTH = 8 };

struct guess {
    const struct heap_view *view;
    const struct heap_region *region;
    uint8_t *buffer;
    struct range held; /* what the buffer holds */
};

static bool header_at(const struct guess *guess, remote_addr address, uint64_t header[2])
{
    if (range_holds(guess->held, address, CHUNK_HEADER_BYTES)) {
        memcpy(header, guess->buffer + (address - guess->held.start), CHUNK_HEADER_BYTES);
        return true;
    }
    return memory_read(guess->view->memory, address, header, CHUNK_HEADER_BYTES, NULL) == 0;
}

static bool is_plausible(const struct guess *guess, remote_addr chunk, uint64_t size)
{
    uint64_t bytes = size & ~(uint64_t)CHUNK_FLAGS;

    return bytes >= CHUNK_MIN_BYTES && !(size & CHUNK_MMAPPED) && size % CHUNK_ALIGNMENT < 8 &&
           bytes <= guess->region->range.end - chunk - CHUNK_HEADER_BYTES;
}

static bool chain_from(const struct guess *guess, remote_addr chunk)
{
    uint64_t header[2], next[2];

    if (!header_at(guess, chunk, header))
        return false;
    for (unsigned i = 0; i < CHAIN_LENGTH; i++) {
        uint64_t bytes = header[1] & ~(uint64_t)CHUNK_FLAGS;

        if (!is_plausible(guess, chunk, header[1]))
            return false;
        chunk += bytes;
        if (!header_at(guess, chunk, next))
            return false;
        if (!(next[1] & CHUNK_PREV_INUSE) && next[0] != bytes)
            return false;
        if (chunk + CHUNK_MIN_BYTES >= guess->region->range.end)
            return true;
        memcpy(header, next, sizeof header);
    }
    return true;
}

static int fill(struct guess *guess, remote_addr from, struct why *why)
{
    uint8_t flags[GUESS_PAGES];
    size_t pages = (size_t)((align_up(guess->region->range.end, PAGE_BYTES) - from) >> PAGE_SHIFT);
    int r;

    if (pages > GUESS_PAGES)
        pages = GUESS_PAGES;
    r = memory_page_flags(guess->view->memory, from, pages, flags, why);
    if (r == 0)
        r = memory_read_pages(guess->view->memory, from, pages, flags, guess->buffer, why);
    if (r == 0)
        guess->held = (struct range){from, from + pages * PAGE_BYTES};
    return r;
}

int glibc_guess_chunk(const struct heap_view *view, const struct heap_region *region,
                      remote_addr from, remote_addr limit, remote_addr *ret_chunk)
{
    auto_free uint8_t *buffer = malloc(GUESS_PAGES * PAGE_BYTES);
    struct guess guess = {.view = view, .region = region, .buffer = buffer};
    int r;

    if (!buffer)
        return -ENOMEM;
    from = align_down(from, PAGE_BYTES);
    r = fill(&guess, from, NULL);
    if (r)
        return r;
    for (remote_addr chunk = from; chunk < guess.held.end && chunk < limit;
         chunk += CHUNK_ALIGNMENT)
        if (chain_from(&guess, chunk)) {
            *ret_chunk = chunk;
            return 0;
        }
    return OUTCOME_NOT_FOUND;
}
