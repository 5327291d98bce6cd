/*
 * Reading DWARF's encodings from bytes that nobody vouches for. A cursor that once ran over its end has
 * `failed` set and yields zeros: check it once, behind a sequence of reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *start, *at, *end;
    uint64_t address; /* link-time address of *start */
    bool failed;
};

static inline struct bytes bytes_of(const uint8_t *start, size_t length, uint64_t address)
{
    return (struct bytes){.start = start, .at = start, .end = start + length, .address = address};
}

static inline size_t bytes_left(const struct bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

/* `size` up to 8, little-endian. */
uint64_t bytes_unsigned(struct bytes *bytes, unsigned size);
int64_t bytes_signed(struct bytes *bytes, unsigned size);
uint64_t bytes_uleb128(struct bytes *bytes);
int64_t bytes_sleb128(struct bytes *bytes);
void bytes_skip(struct bytes *bytes, uint64_t count);

/* The next `length` bytes as a cursor of their own; skips them. */
struct bytes bytes_take(struct bytes *bytes, uint64_t length);

/* A pointer as .eh_frame encodes it (DW_EH_PE_*); `base` is what DW_EH_PE_datarel counts from. */
uint64_t bytes_pointer(struct bytes *bytes, uint8_t encoding, uint64_t base);
