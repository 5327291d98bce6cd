/* Procedure linkage stubs without call frame information. */
#pragma once

#include "elf/cfi.h"

/*
 * Whether the instruction at `address` is the one jump of a stub that the linker made: some linkers describe
 * their stubs in .eh_frame, but not those of static programs (GNU ld) or none at all (lld). The stack is then
 * as the caller left it, and `ret` says so.
 */
bool plt_row_at(const struct elf_image *image, uint64_t address, struct cfi_row *ret);
