/* Sections, where a file still has their table: it is a help, never a need. */
#pragma once

#include "elf/image.h"

/* The loaded section of this name (15 characters at most) that has bytes in the file. */
bool elf_section_named(const struct elf_image *image, const char *name, Elf64_Shdr *ret);

/* Whether `address` (link-time) lies in a loaded section whose name starts so; tells where that section starts. */
bool elf_in_section(const struct elf_image *image, uint64_t address, const char *prefix, uint64_t *ret_start);
