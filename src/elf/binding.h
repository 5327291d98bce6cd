/* What the run-time linker makes of a symbol, and what small functions tell without being called. */
#pragma once

#include "elf/image.h"

/*
 * The GOT slot (remote address) through which the image reaches symbol `name`: what lies in it once it is bound
 * tells whose definition is in use. 0, or OUTCOME_NOT_FOUND.
 */
int elf_symbol_slot(struct elf_image *image, const char *name, remote_addr *ret_slot) must_check;

/* Whether the image's dynamic string table has this name, as a symbol's that is defined or needed. */
bool elf_has_dynamic_string(struct elf_image *image, const char *name);

/* Whether the run-time linker gives the image other images (DT_NEEDED): false for static programs and musl's libc. */
bool elf_needs_libraries(struct elf_image *image);

/* The constant that function `name` returns, when that is all it does. 0, or OUTCOME_NOT_FOUND. */
int elf_constant_function(struct elf_image *image, const char *name, uint32_t *ret_value) must_check;
