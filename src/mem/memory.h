/*
 * Remote memory behind one interface: a live process, or a fake in tests.
 *
 * Nothing that is not present is ever read: reading an untouched or swapped page would change the
 * target (page tables, RSS, swap-in). Pages shared copy-on-write with a fork are read in a way that
 * leaves them shared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/range.h"
#include "procfs/pages.h"

struct memory;

/* A few bytes to be read among many others. */
struct memory_piece {
    remote_addr address;
    uint32_t length;
    bool exclusive;  /* all its pages are this process' alone: others are read in a way that leaves them shared */
    bool ok;         /* out: it could be read */
    void *to;
};

struct memory_ops {
    /* Flags of `count` pages from page-aligned `start`, exclusive bits included. 0 or negative errno. */
    int (*page_flags)(struct memory *memory, remote_addr start, size_t count, uint8_t *ret_flags, struct why *why);
    /*
     * Reads pages that are present by `flags` into `buffer` (count * PAGE_BYTES); all others read as zeros.
     * A page that the kernel refuses gets PAGE_UNREADABLE in `flags` and reads as zeros. 0 or negative errno.
     */
    int (*read_pages)(struct memory *memory, remote_addr start, size_t count, uint8_t *flags, void *buffer,
                      struct why *why);
    /* See memory_gather. NULL: piece by piece. */
    int (*gather)(struct memory *memory, struct memory_piece *pieces, size_t count, struct why *why);
};

struct memory {
    const struct memory_ops *ops; /* may be used by several threads at once */
};

/* As the operations above. `start` must be page-aligned. */
int memory_page_flags(struct memory *memory, remote_addr start, size_t count, uint8_t *ret_flags,
                      struct why *why) must_check;
int memory_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags, void *buffer,
                      struct why *why) must_check;

/*
 * Reads many small pieces at once. The caller knows that their pages are present, and which are mapped by this process
 * alone. Sets `ok` of each. 0 or negative errno.
 */
int memory_gather(struct memory *memory, struct memory_piece *pieces, size_t count, struct why *why) must_check;

/*
 * Reads [address, address + length) for a decoder. All of it must be present (the shared zero page counts
 * as present: zeros). 0; OUTCOME_UNREADABLE when a byte is not present or cannot be read; negative errno
 * when the process has gone. Meant for structures, not for bulk: it asks for the page states each time.
 */
int memory_read(struct memory *memory, remote_addr address, void *buffer, size_t length, struct why *why) must_check;

/* One 64-bit word; as memory_read. */
int memory_read_u64(struct memory *memory, remote_addr address, uint64_t *ret_value, struct why *why) must_check;

/*
 * A NUL-terminated string, cut at `size` - 1 bytes; as memory_read, but reads no page past the NUL.
 */
int memory_read_string(struct memory *memory, remote_addr address, char *buffer, size_t size, struct why *why)
    must_check;
