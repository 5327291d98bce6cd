#include "procfs/parse.h"

#include <errno.h>
#include <string.h>

bool text_char(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return 16;
}

static bool text_number(struct text *text, unsigned base, uint64_t *ret_value)
{
    const char *at = text->at;
    uint64_t value = 0;

    for (; at < text->end && (unsigned)digit_value(*at) < base; at++)
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit_value(*at), &value))
            return false;
    if (at == text->at)
        return false;
    text->at = at;
    *ret_value = value;
    return true;
}

bool text_hex(struct text *text, uint64_t *ret_value)
{
    return text_number(text, 16, ret_value);
}

bool text_decimal(struct text *text, uint64_t *ret_value)
{
    return text_number(text, 10, ret_value);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool text_word(struct text *text, struct text *ret_word)
{
    const char *at = text->at;

    while (at < text->end && !is_blank(*at))
        at++;
    if (at == text->at)
        return false;
    *ret_word = (struct text){text->at, at};
    text->at = at;
    return true;
}

void text_skip_blanks(struct text *text)
{
    while (text->at < text->end && is_blank(*text->at))
        text->at++;
}

bool text_line(struct text *text, struct text *ret_line)
{
    const char *newline;

    if (text->at == text->end)
        return false;
    newline = memchr(text->at, '\n', text_length(*text));
    *ret_line = (struct text){text->at, newline ? newline : text->end};
    text->at = newline ? newline + 1 : text->end;
    return true;
}

bool text_starts(struct text text, const char *prefix)
{
    size_t length = strlen(prefix);

    return text_length(text) >= length && memcmp(text.at, prefix, length) == 0;
}

bool text_is(struct text text, const char *string)
{
    return text_length(text) == strlen(string) && text_starts(text, string);
}

bool text_ends(struct text text, const char *suffix)
{
    size_t length = strlen(suffix);

    return text_length(text) >= length && memcmp(text.end - length, suffix, length) == 0;
}

static bool octal_escape(const char *at, size_t left, unsigned char *ret_byte)
{
    unsigned value = 0;

    if (left < 4 || at[0] != '\\')
        return false;
    for (int i = 1; i < 4; i++) {
        if (at[i] < '0' || at[i] > '7')
            return false;
        value = value * 8 + (unsigned)(at[i] - '0');
    }
    if (value == 0 || value > 255)
        return false;
    *ret_byte = (unsigned char)value;
    return true;
}

size_t text_unescape(char *string, size_t length, bool newline_only)
{
    size_t written = 0;
    unsigned char byte;

    for (size_t i = 0; i < length;) {
        if (octal_escape(string + i, length - i, &byte) && (!newline_only || byte == '\n')) {
            string[written++] = (char)byte;
            i += 4;
        } else {
            string[written++] = string[i++];
        }
    }
    return written;
}

int text_refuse(struct why *why, const char *what, struct text line)
{
    char quoted[161];
    size_t length = text_length(line);
    size_t shown = length < sizeof quoted - 1 ? length : sizeof quoted - 1;

    for (size_t i = 0; i < shown; i++)
        quoted[i] = line.at[i] >= ' ' && line.at[i] <= '~' ? line.at[i] : '?';
    quoted[shown] = '\0';
    return why_set(why, -EBADMSG, "%s: \"%s%s\"", what, quoted, shown < length ? "..." : "");
}
