#include "mem/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { CHUNK_PAGES = 4 };

static int check_aligned(remote_addr start, struct why *why)
{
    if (start % PAGE_BYTES == 0)
        return 0;
    return why_set(why, -EINVAL, "address 0x%" PRIx64 " is not the start of a page", start);
}

int memory_page_flags(struct memory *memory, remote_addr start, size_t count, uint8_t *ret_flags,
                      struct why *why)
{
    int r = check_aligned(start, why);

    return r ? r : memory->ops->page_flags(memory, start, count, ret_flags, why);
}

int memory_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                      void *buffer, struct why *why)
{
    int r = check_aligned(start, why);

    return r ? r : memory->ops->read_pages(memory, start, count, flags, buffer, why);
}

int memory_gather(struct memory *memory, struct memory_piece *pieces, size_t count, struct why *why)
{
    if (memory->ops->gather)
        return memory->ops->gather(memory, pieces, count, why);
    for (size_t i = 0; i < count; i++) {
        int r = memory_read(memory, pieces[i].address, pieces[i].to, pieces[i].length, NULL);

        if (r < 0)
            return why_set(why, r, "the process has gone");
        pieces[i].ok = r == 0;
    }
    return 0;
}

static int all_present(const uint8_t *flags, size_t count, remote_addr start, struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        remote_addr page = start + i * PAGE_BYTES;

        if (!(flags[i] & (PAGE_PRESENT | PAGE_ZERO)))
            return why_set(why, OUTCOME_UNREADABLE, "the page at 0x%" PRIx64 " is %s", page,
                           flags[i] & PAGE_SWAPPED ? "swapped out" : "not present");
        if (flags[i] & PAGE_UNREADABLE)
            return why_set(why, OUTCOME_UNREADABLE,
                           "the kernel refused to read the page at 0x%" PRIx64, page);
    }
    return 0;
}

/* Whole pages, all of which must be present. Nothing is read unless they are. */
static int read_present(struct memory *memory, remote_addr start, size_t count, uint8_t *pages,
                        struct why *why)
{
    uint8_t flags[CHUNK_PAGES];
    int r = memory->ops->page_flags(memory, start, count, flags, why);

    if (r == 0)
        r = all_present(flags, count, start, why);
    if (r == 0)
        r = memory->ops->read_pages(memory, start, count, flags, pages, why);
    return r ? r : all_present(flags, count, start, why);
}

int memory_read(struct memory *memory, remote_addr address, void *buffer, size_t length,
                struct why *why)
{
    uint8_t pages[CHUNK_PAGES * PAGE_BYTES];
    uint8_t *out = buffer;

    if (length > UINT64_MAX - PAGE_BYTES - address || address > UINT64_MAX - PAGE_BYTES)
        return why_set(why, OUTCOME_UNREADABLE,
                       "%zu bytes at 0x%" PRIx64 " reach past the address space", length, address);
    while (length > 0) {
        remote_addr start = align_down(address, PAGE_BYTES);
        size_t skip = address - start;
        size_t part = sizeof pages - skip < length ? sizeof pages - skip : length;
        size_t count = align_up(skip + part, PAGE_BYTES) / PAGE_BYTES;
        int r = read_present(memory, start, count, pages, why);

        if (r)
            return r;
        memcpy(out, pages + skip, part);
        out += part;
        address += part;
        length -= part;
    }
    return 0;
}

int memory_read_u64(struct memory *memory, remote_addr address, uint64_t *ret_value,
                    struct why *why)
{
    uint64_t value;
    int r = memory_read(memory, address, &value, sizeof value, why);

    if (r == 0)
        *ret_value = value;
    return r;
}

int memory_read_string(struct memory *memory, remote_addr address, char *buffer, size_t size,
                       struct why *why)
{
    size_t done = 0;

    if (size == 0)
        return why_set(why, -EINVAL, "no room for a string");
    while (done < size - 1) {
        size_t part = PAGE_BYTES - (address + done) % PAGE_BYTES;
        int r;

        if (part > size - 1 - done)
            part = size - 1 - done;
        r = memory_read(memory, address + done, buffer + done, part, why);
        if (r)
            return r;
        if (memchr(buffer + done, 0, part))
            return 0;
        done += part;
    }
    buffer[done] = 0;
    return 0;
}
