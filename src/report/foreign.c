#include "report/foreign.h"

#include <stdlib.h>
#include <string.h>

enum { ESCAPE_COLUMNS = 4 }; /* \xNN */

/* Leading byte -> length, its payload bits, and the least code point that needs that length (RFC
 * 3629). */
static size_t leading(unsigned char byte, uint32_t *ret_bits, uint32_t *ret_least)
{
    static const struct {
        unsigned char mask, value;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((byte & forms[i].mask) != forms[i].value)
            continue;
        *ret_bits = byte & (unsigned char)~forms[i].mask;
        *ret_least = forms[i].least;
        return i + 1;
    }
    return 0;
}

size_t utf8_sequence(const char *text, uint32_t *ret)
{
    uint32_t code, least;
    size_t length = leading((unsigned char)text[0], &code, &least);

    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) /* NUL, too */
            return 0;
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if (length == 0 || code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret = code;
    return length;
}

size_t utf8_columns(const char *text)
{
    size_t columns = 0;

    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

/* Controls (C0, DEL, C1), and format characters, which show as nothing or reorder what stands
 * around them. */
static bool is_printable(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},   {0x180e, 0x180e},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},   {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
        {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (code >= hidden[i].first && code <= hidden[i].last)
            return false;
    return true;
}

/* Bytes of the next piece of `text`, and whether they can be printed as they are. */
static size_t next_piece(const char *text, bool utf8, bool *ret_plain)
{
    uint32_t code;
    size_t length = utf8_sequence(text, &code);

    *ret_plain = length && is_printable(code) && (utf8 || length == 1);
    return length ? length : 1;
}

static size_t piece_columns(size_t length, bool plain)
{
    return plain ? 1 : length * ESCAPE_COLUMNS;
}

/* The bytes of `text` that fit into `most` columns. */
static size_t fitting(const char *text, size_t most, bool utf8)
{
    size_t at = 0, columns = 0;

    while (text[at]) {
        bool plain;
        size_t length = next_piece(text + at, utf8, &plain);

        columns += piece_columns(length, plain);
        if (columns > most)
            break;
        at += length;
    }
    return at;
}

static void print_escaped(FILE *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fprintf(out, "\\x%02x", (unsigned char)bytes[i]);
}

void foreign_print(FILE *out, const char *text, size_t most, bool utf8)
{
    const char *ellipsis = utf8 ? "…" : "...";
    size_t end = fitting(text, most, utf8), tail = utf8 ? 1 : strlen(ellipsis);
    bool cut = text[end] != '\0';

    if (cut)
        end = fitting(text, most > tail ? most - tail : 0, utf8);
    for (size_t at = 0, length; at < end; at += length) {
        bool plain;

        length = next_piece(text + at, utf8, &plain);
        if (plain)
            fwrite(text + at, 1, length, out);
        else
            print_escaped(out, text + at, length);
    }
    if (cut)
        fputs(ellipsis, out);
}

char *foreign_as_utf8(const char *text)
{
    char *copy = malloc(strlen(text) * ESCAPE_COLUMNS + 1), *end = copy;

    if (!copy)
        return NULL;
    while (*text) {
        uint32_t code;
        size_t length = utf8_sequence(text, &code);

        if (length) {
            memcpy(end, text, length);
            end += length;
        } else {
            end += snprintf(end, ESCAPE_COLUMNS + 1, "\\x%02x", (unsigned char)*text);
        }
        text += length ? length : 1;
    }
    *end = '\0';
    return copy;
}
