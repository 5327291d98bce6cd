/*
 * Where a mapping of malloc's begins and which header counts in it: the one at its start, or one
 * that memalign wrote further up. That has prev_size for its distance; the old one stays as it was.
 */
#include "heap/glibc/mmapped.h"

enum { ALIGN_SHIFT_MOST = 30 };

/* Whether this is the header `lead` bytes into a mapping, the one free() would find. */
static bool is_header(const uint8_t *bytes, uint64_t lead, uint64_t room, struct mmapped_chunk *ret)
{
    uint64_t prev_size = field_u64(bytes, 0), size = field_u64(bytes, 8);
    struct mmapped_chunk chunk = {.lead = lead};

    if ((size & CHUNK_FLAGS) != CHUNK_MMAPPED || size < CHUNK_MIN_BYTES)
        return false;
    size -= CHUNK_MMAPPED;
    chunk.total = lead + size;
    if (size > room || chunk.total > room)
        return false;
    chunk.short_by_header = chunk.total % PAGE_BYTES != 0;
    if (chunk.short_by_header) {
        chunk.total += CHUNK_HEADER_BYTES;
        prev_size &= ~(uint64_t)1; /* huge pages (921e251e8f) */
    }
    if (prev_size != lead || chunk.total % PAGE_BYTES || chunk.total > room)
        return false;
    *ret = chunk;
    return true;
}

bool mmapped_begins(const uint8_t *bytes, uint64_t *ret_claim)
{
    uint64_t size = field_u64(bytes, 8);

    *ret_claim = align_up((size & ~(uint64_t)CHUNK_FLAGS), PAGE_BYTES);
    return field_u64(bytes, 0) <= 1 && (size & CHUNK_FLAGS) == CHUNK_MMAPPED &&
           size >= CHUNK_MIN_BYTES;
}

/* Where some power of two asks for the block to be: the lead of a mapping that was not moved. */
static int find_aligned(struct mmapped_search *search, remote_addr start, uint64_t room,
                        struct mmapped_chunk *ret)
{
    uint64_t last = 0;

    for (unsigned shift = 5; shift <= ALIGN_SHIFT_MOST; shift++) {
        uint64_t lead =
            align_up(start + CHUNK_HEADER_BYTES, UINT64_C(1) << shift) - CHUNK_HEADER_BYTES - start;
        uint8_t header[CHUNK_HEADER_BYTES];
        int r;

        if (lead == last || lead == 0)
            continue;
        if (lead >= room)
            break;
        last = lead;
        r = memory_read(search->view->memory, start + lead, header, sizeof header, NULL);
        if (r < 0)
            return r;
        if (r == 0 && is_header(header, lead, room, ret))
            return 0;
    }
    return OUTCOME_NOT_FOUND;
}

int mmapped_read_window(struct mmapped_search *search, remote_addr start, size_t pages,
                        uint8_t *buffer)
{
    uint8_t flags[SCAN_PAGES];
    int r = memory_page_flags(search->view->memory, start, pages, flags, NULL);

    if (r == 0)
        r = memory_read_pages(search->view->memory, start, pages, flags, buffer, NULL);
    if (r)
        return r;
    search->space += pages * PAGE_BYTES;
    for (size_t i = 0; i < pages; i++)
        search->scanned += flags[i] & PAGE_PRESENT ? PAGE_BYTES : 0;
    return 0;
}

/* The lead of a mapping that mremap moved: the block still begins at some page, or it was found by
 * its alignment. */
static int find_moved(struct mmapped_search *search, remote_addr start, uint64_t claim,
                      uint64_t room, struct mmapped_chunk *ret)
{
    remote_addr end = start + align_down(claim < room ? claim : room, PAGE_BYTES);

    for (remote_addr window = start; window < end && mmapped_may_scan(search);) {
        size_t pages = mmapped_window_pages(window, end);
        int r = mmapped_read_window(search, window, pages, search->page_ends);

        if (r)
            return r;
        for (size_t i = 1; i <= pages; i++) {
            uint64_t lead = window + i * PAGE_BYTES - CHUNK_HEADER_BYTES - start;

            if (is_header(search->page_ends + i * PAGE_BYTES - CHUNK_HEADER_BYTES, lead, room, ret))
                return 0;
        }
        window += pages * PAGE_BYTES;
    }
    return OUTCOME_NOT_FOUND;
}

int mmapped_chunk_at(struct mmapped_search *search, remote_addr start, remote_addr limit,
                     bool thorough, struct mmapped_chunk *ret)
{
    uint8_t header[CHUNK_HEADER_BYTES];
    uint64_t claim, room = limit - start;
    struct mmapped_chunk aligned;
    bool plain;
    int r = memory_read(search->view->memory, start, header, sizeof header, NULL);

    if (r)
        return r < 0 ? r : OUTCOME_NOT_FOUND;
    if (!mmapped_begins(header, &claim))
        return OUTCOME_NOT_FOUND;
    plain = is_header(header, 0, room, ret);
    if (!plain && !thorough)
        return OUTCOME_NOT_FOUND;
    r = find_aligned(search, start, room, &aligned);
    if (r > 0 && thorough)
        r = find_moved(search, start, claim, room, &aligned);
    if (r < 0)
        return r;
    if (r == 0 && (thorough || aligned.total == ret->total))
        *ret = aligned;
    else if (!plain)
        return OUTCOME_NOT_FOUND;
    return 0;
}
