#include "report/page.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/foreign.h"

/* Room for text beside a label that even a very narrow page gives. */
enum { LEAST_TEXT = 20 };

enum { LONG_ID = 64, SHORT_ID = 12, CONTAINER_COLUMNS = 32 };

int page_begin(struct page *page)
{
    page->paragraph = open_memstream(&page->text, &page->size);
    return page->paragraph ? 0 : -ENOMEM;
}

void page_tone(const struct page *page, enum tone tone)
{
    static const char *const sequences[] = {
        [TONE_PLAIN] = "\x1b[0m",    [TONE_STRONG] = "\x1b[1m",   [TONE_GOOD] = "\x1b[1;32m",
        [TONE_CAUSE] = "\x1b[1;36m", [TONE_DOUBT] = "\x1b[1;33m", [TONE_FAINT] = "\x1b[2m",
    };

    if (page->style.color)
        fputs(sequences[tone], page->out);
}

static void print_word(FILE *out, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fputc(word[i] == HARD_SPACE ? ' ' : word[i], out);
}

static size_t word_columns(const char *word, size_t length)
{
    size_t columns = 0;

    for (size_t i = 0; i < length; i++)
        columns += ((unsigned char)word[i] & 0xc0) != 0x80;
    return columns;
}

/* Whether `text`, which stands behind a figure and its space, begins with the figure's unit. */
static bool is_unit(const char *text)
{
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB", "TiB",
                                        "PiB", "EiB", "us",  "ms",  "s"};
    size_t length = strcspn(text, " \n.,;:)");

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i]) == length && memcmp(units[i], text, length) == 0)
            return true;
    return false;
}

/* Bytes up to the next place where a line may be broken: a figure keeps its unit beside it. */
static size_t word_length(const char *text)
{
    size_t length = strcspn(text, " \n");

    if (length && isdigit((unsigned char)text[length - 1]) && text[length] == ' ' &&
        is_unit(text + length + 1))
        length += 1 + strcspn(text + length + 1, " \n");
    return length;
}

/* Fills lines from column `indent` to `width`, without the last newline; '\n' in the text breaks,
 * too. Words that are too long stay whole. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t width)
{
    size_t column = indent;

    while (*text) {
        size_t length = word_length(text), columns = word_columns(text, length);
        bool first = column == indent;

        if (!first && column + 1 + columns > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        if (!first)
            fputc(' ', out);
        print_word(out, text, length);
        column += columns + !first;
        text += length;
        if (*text == '\n') {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        text += *text != '\0';
    }
}

int page_end(struct page *page, enum tone tone, const char *label)
{
    size_t indent = strlen(label), width = page->style.width;
    bool failed = ferror(page->paragraph);

    failed |= fclose(page->paragraph) != 0;
    page->paragraph = NULL;
    if (!failed) {
        if (width < indent + LEAST_TEXT)
            width = indent + LEAST_TEXT;
        if (tone != TONE_PLAIN)
            page_tone(page, tone);
        fputs(label, page->out);
        if (indent)
            page_tone(page, TONE_PLAIN);
        print_wrapped(page->out, page->text, indent, width);
        if (!indent && tone != TONE_PLAIN)
            page_tone(page, TONE_PLAIN);
        fputc('\n', page->out);
    }
    free(page->text);
    return failed ? -ENOMEM : 0;
}

void page_name(const struct page *page, const char *text, size_t most)
{
    foreign_print(page->paragraph, text, most, page->style.utf8);
}

void page_container(const struct page *page, const char *name)
{
    char id[SHORT_ID + 1] = {0};

    if (strlen(name) == LONG_ID && strspn(name, "0123456789abcdef") == LONG_ID) {
        memcpy(id, name, SHORT_ID);
        name = id;
    }
    page_name(page, name, CONTAINER_COLUMNS);
}

int page_foreign(struct page *page, enum tone tone, const char *label, const char *text)
{
    int r = page_begin(page);

    if (r)
        return r;
    page_name(page, text, WHOLE_TEXT);
    return page_end(page, tone, label);
}
