/* The stack of a held thread, read word by word: a page at a time, since frames lie side by side. */
#pragma once

#include "base/range.h"
#include "mem/memory.h"

struct stack_reader {
    struct memory *memory;
    remote_addr page; /* of what `bytes` holds; 0: nothing yet */
    uint8_t bytes[PAGE_BYTES];
};

/* `size` (1..8) bytes at `address`, little-endian. 0, OUTCOME_UNREADABLE, or negative errno. */
int stack_read(struct stack_reader *reader, remote_addr address, size_t size, uint64_t *ret_value, struct why *why)
    must_check;
