/* How x86-64 binds symbols, and what its compilers make of a function that returns a constant. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { ARCH_CONSTANT_FUNCTION_BYTES = 10 };

/* Relocations that store a symbol's address (System V psABI, table 4.9). */
static inline bool arch_relocation_binds(uint64_t info)
{
    uint32_t type = ELF64_R_TYPE(info);

    return type == R_X86_64_GLOB_DAT || type == R_X86_64_JUMP_SLOT || type == R_X86_64_64;
}

/* mov $value, %eax; ret; with or without an endbr64 before it. */
static inline bool arch_constant_function(const uint8_t code[ARCH_CONSTANT_FUNCTION_BYTES], uint32_t *ret_value)
{
    static const uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa};
    const uint8_t *at = memcmp(code, landing, sizeof landing) == 0 ? code + sizeof landing : code;

    if (at[0] != 0xb8 || at[5] != 0xc3)
        return false;
    memcpy(ret_value, at + 1, sizeof *ret_value);
    return true;
}
