/*
 * Foreign text: names and paths that others chose. They may hold anything but NUL: control characters, bytes that are
 * not UTF-8, characters that turn the writing direction around. Nothing of that may reach a terminal or break JSON.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Length of the valid UTF-8 sequence at `text` (NUL-terminated), its code point in *ret; 0 if it is none. */
size_t utf8_sequence(const char *text, uint32_t *ret);

/* Columns that `text` takes on a terminal: one a character. */
size_t utf8_columns(const char *text);

/*
 * Prints `text` with everything unprintable as \xNN, and what is not ASCII too unless `utf8`; of what takes more than
 * `most` columns, as much of the beginning as fits with an ellipsis.
 */
void foreign_print(FILE *out, const char *text, size_t most, bool utf8);

/* `text` in fresh memory, as valid UTF-8: bytes that are not become \xNN. NULL when memory is short. */
char *foreign_as_utf8(const char *text);
