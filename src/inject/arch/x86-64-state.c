/*
 * The extended state of x86-64 in a signal frame (arch/x86/kernel/fpu/signal.c): an XSAVE area in
 * the standard format, with the software bytes of the FXSAVE area filled in and a magic word at its
 * end. If these do not convince check_xstate_in_sigframe, only the oldest registers are restored
 * and all others are cleared, silently.
 */
#include <cpuid.h>
#include <string.h>

#include "inject/arch.h"

enum {
    SOFTWARE_AT = 464, /* struct _fpx_sw_bytes, in the FXSAVE area */
    HEADER_AT = 512,
    FIRST_EXTENDED_AT = 576,
    FIRST_EXTENDED = 2,
    LAST_EXTENDED = 62,
    MAGIC_1 = 0x46505853,
    MAGIC_2 = 0x46505845,
};

struct software {
    uint32_t magic_1, extended_size;
    uint64_t features;
    uint32_t xstate_size, padding[7];
};

struct header {
    uint64_t features, compaction, reserved[6];
};

/*
 * The kernel refuses more than the thread may use (fpstate->user_size): less than the machine has
 * where a thread must ask for registers (AMX). So it is as long as the components in use need;
 * those that are not have no bit in the header and are cleared, as they were.
 */
static size_t size_in_use(uint64_t features)
{
    size_t size = FIRST_EXTENDED_AT;

    for (unsigned i = FIRST_EXTENDED; i <= LAST_EXTENDED; i++) {
        unsigned length, offset, c, d;

        if (!(features >> i & 1))
            continue;
        if (!__get_cpuid_count(0xd, i, &length, &offset, &c, &d) || length == 0 ||
            offset < FIRST_EXTENDED_AT)
            return 0;
        if (offset + length > size)
            size = offset + length;
    }
    return size;
}

size_t arch_prepare_state(uint8_t *state, size_t length)
{
    struct software *software = (struct software *)(void *)(state + SOFTWARE_AT);
    const struct header *header = (const struct header *)(const void *)(state + HEADER_AT);
    const uint32_t magic = MAGIC_2;
    uint64_t usable;
    size_t size;

    if (length < FIRST_EXTENDED_AT || header->compaction)
        return 0;
    memcpy(&usable, state + SOFTWARE_AT,
           sizeof usable); /* xstate_fx_sw_bytes, as ptrace tells it */
    size = size_in_use(header->features);
    if (size == 0 || size > length || header->features & ~usable)
        return 0;
    *software = (struct software){.magic_1 = MAGIC_1,
                                  .extended_size = (uint32_t)(size + sizeof magic),
                                  .features = usable,
                                  .xstate_size = (uint32_t)size};
    memcpy(state + size, &magic, sizeof magic);
    return size + sizeof magic;
}
