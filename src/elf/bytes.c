#include "elf/bytes.h"

#include <dwarf.h>
#include <string.h>

uint64_t bytes_unsigned(struct bytes *bytes, unsigned size)
{
    uint64_t value = 0;

    if (bytes->failed || bytes_left(bytes) < size) {
        bytes->failed = true;
        return 0;
    }
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes->at[i] << (8 * i);
    bytes->at += size;
    return value;
}

int64_t bytes_signed(struct bytes *bytes, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    return (int64_t)(bytes_unsigned(bytes, size) << shift) >> shift;
}

/* Bits beyond 64 are dropped, as every other reader does; the length is bounded by the bytes. */
static uint64_t leb128(struct bytes *bytes, unsigned *ret_bits, bool *ret_negative)
{
    uint64_t value = 0, byte;

    *ret_bits = 0;
    do {
        byte = bytes_unsigned(bytes, 1);
        if (*ret_bits < 64)
            value |= (byte & 0x7f) << *ret_bits;
        *ret_bits += 7;
    } while ((byte & 0x80) && !bytes->failed);
    *ret_negative = byte & 0x40;
    return value;
}

uint64_t bytes_uleb128(struct bytes *bytes)
{
    unsigned bits;
    bool negative;

    return leb128(bytes, &bits, &negative);
}

int64_t bytes_sleb128(struct bytes *bytes)
{
    unsigned bits;
    bool negative;
    uint64_t value = leb128(bytes, &bits, &negative);

    return (int64_t)(negative && bits < 64 ? value | UINT64_MAX << bits : value);
}

void bytes_skip(struct bytes *bytes, uint64_t count)
{
    if (bytes->failed || count > bytes_left(bytes))
        bytes->failed = true;
    else
        bytes->at += count;
}

struct bytes bytes_take(struct bytes *bytes, uint64_t length)
{
    uint64_t address = bytes->address + (uint64_t)(bytes->at - bytes->start);
    const uint8_t *at = bytes->at;

    bytes_skip(bytes, length);
    return bytes_of(at, bytes->failed ? 0 : (size_t)length, address);
}

static uint64_t encoded_value(struct bytes *bytes, uint8_t format)
{
    switch (format) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        return bytes_unsigned(bytes, 8);
    case DW_EH_PE_udata2:
        return bytes_unsigned(bytes, 2);
    case DW_EH_PE_udata4:
        return bytes_unsigned(bytes, 4);
    case DW_EH_PE_sdata2:
        return (uint64_t)bytes_signed(bytes, 2);
    case DW_EH_PE_sdata4:
        return (uint64_t)bytes_signed(bytes, 4);
    case DW_EH_PE_uleb128:
        return bytes_uleb128(bytes);
    case DW_EH_PE_sleb128:
        return (uint64_t)bytes_sleb128(bytes);
    }
    bytes->failed = true;
    return 0;
}

uint64_t bytes_pointer(struct bytes *bytes, uint8_t encoding, uint64_t base)
{
    uint64_t here = bytes->address + (uint64_t)(bytes->at - bytes->start);
    uint64_t value = encoded_value(bytes, encoding & 0x0f);

    switch (encoding & 0xf0) { /* with DW_EH_PE_indirect, which code addresses never are */
    case DW_EH_PE_absptr:
        return value;
    case DW_EH_PE_pcrel:
        return here + value;
    case DW_EH_PE_datarel:
        return base + value;
    }
    bytes->failed = true;
    return 0;
}
