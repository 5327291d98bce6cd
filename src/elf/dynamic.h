/* The dynamic section: all that the run-time linker goes by, so it is there in stripped files too. */
#pragma once

#include "elf/image.h"

/* Link-time addresses and sizes; 0 where absent. */
struct elf_dynamic {
    uint64_t symbols, strings, strings_size, versions;
    uint64_t gnu_hash, hash;
    uint64_t relocations, relocations_size;
};

/* 0, or OUTCOME_NOT_FOUND (static programs, 32-bit images, files that were not opened). */
int elf_dynamic_read(const struct elf_image *image, struct elf_dynamic *ret) must_check;
