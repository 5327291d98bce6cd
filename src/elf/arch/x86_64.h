/* What the ELF layer knows of x86-64: DWARF register numbers (System V psABI, figure 3.36) and relocations. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    ARCH_ELF_MACHINE = EM_X86_64,
    ARCH_TPOFF_RELOCATION = R_X86_64_TPOFF64,

    ARCH_STACK_POINTER = 7,
    ARCH_PROGRAM_COUNTER = 16, /* the return address column */
    ARCH_REGISTERS = 17,
    ARCH_RETURN_ADDRESS_BYTES = 8,
    ARCH_PLT_BYTES = 6,
};

/* rbx, rbp, r12..r15: a function that says nothing of them has left them alone. */
#define ARCH_CALLEE_SAVED ((UINT32_C(1) << 3) | (UINT32_C(1) << 6) | (UINT32_C(0xf) << 12))

/*
 * Bytes that may follow a 32-bit RIP-relative displacement inside one instruction (an immediate operand);
 * RIP is the end of the instruction, so that they count towards the target.
 */
#define ARCH_BYTES_AFTER_DISPLACEMENT {0, 1, 2, 4}

/* Whether a 32-bit displacement relative to RIP may follow this byte: a ModRM byte with mod 0 and r/m 5. */
static inline bool arch_is_rip_relative(uint8_t modrm)
{
    return (modrm & 0xc7) == 0x05;
}

/*
 * Whether an entry of a PLT is at its only jump, `jmp *slot(%rip)`, or at the endbr64 before it. Entries have 8 or
 * 16 bytes; the jumps of lazy binding, with something pushed before them, never start at a multiple of 8.
 */
static inline bool arch_is_plt_jump(const uint8_t code[ARCH_PLT_BYTES], uint64_t offset)
{
    static const uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa}, jump[] = {0xff, 0x25}, bound_jump[] = {0xf2, 0xff, 0x25};

    if (memcmp(code, landing, sizeof landing) == 0)
        return offset % 16 == 0;
    return (offset % 8 == 0 || offset % 16 == 4) &&
           (memcmp(code, jump, sizeof jump) == 0 || memcmp(code, bound_jump, sizeof bound_jump) == 0);
}
