/* Scanning of the kernel's text files: bounded by length, never by a NUL, whatever the bytes are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct text {
    const char *at, *end; /* what is left: [at, end) */
};

static inline size_t text_length(struct text text)
{
    return (size_t)(text.end - text.at);
}

/* Each takes what it names off the front, or leaves the text alone and returns false. */
bool text_char(struct text *text, char c);
bool text_hex(struct text *text, uint64_t *ret_value);     /* false on overflow too */
bool text_decimal(struct text *text, uint64_t *ret_value); /* false on overflow too */
bool text_word(struct text *text, struct text *ret_word);  /* up to a blank or the end; not empty */
void text_skip_blanks(struct text *text);

/* The next line without its '\n'; false at the end. The last line may lack its '\n'. */
bool text_line(struct text *text, struct text *ret_line);

bool text_is(struct text text, const char *string);
bool text_starts(struct text text, const char *prefix);
bool text_ends(struct text text, const char *suffix);

/*
 * Replaces \ooo by its byte, in place, and returns the new length. With `newline_only` every other
 * escape is left alone: maps escapes nothing but '\n' (seq_file_path), so there a backslash means itself.
 */
size_t text_unescape(char *string, size_t length, bool newline_only);

/* Writes "`what`: `line`" (quoted, cut, made printable) and returns -EBADMSG. */
int text_refuse(struct why *why, const char *what, struct text line) must_check;
