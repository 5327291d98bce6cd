/* Looking for many string constants of an image's file in one pass: what programs are made of shows in their strings. */
#pragma once

#include "elf/image.h"

struct elf_text_search {
    const char *needle;
    /*
     * Asked at every place of the needle until it says yes: `string` is the printable text around it, cut to
     * ELF_TEXT_BYTES - 1, and `at` the needle in it.
     */
    bool (*accept)(void *context, const char *string, const char *at);
    void *context;
    bool found; /* set by elf_search_text; one that is set before is not looked for */
};

enum { ELF_TEXT_BYTES = 200, ELF_NEEDLE_BYTES = 32, ELF_TEXT_SEARCHES_MOST = 16 }; /* needles are shorter than that */

/*
 * Searches the constants: read-only segments without code, or all read-only ones where the linker made no such.
 * 0, or OUTCOME_NOT_FOUND when the file cannot be read; -ENOMEM.
 */
int elf_search_text(struct elf_image *image, struct elf_text_search *searches, size_t count) must_check;
