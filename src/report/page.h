/* A page of text being printed: paragraphs, wrapped to its width. */
#pragma once

#include "report/groups.h"
#include "report/text.h"

enum tone { TONE_PLAIN, TONE_STRONG, TONE_GOOD, TONE_CAUSE, TONE_DOUBT, TONE_FAINT };

struct page {
    const struct explanation *e;
    struct groups groups;
    struct report_style style;
    FILE *out;
    FILE *paragraph; /* what goes here is printed by page_end */
    char *text;
    size_t size;
};

/* In a paragraph: a space at which no line is broken. */
#define HARD_SPACE '\x01'

/* Starts a paragraph. -ENOMEM. */
int page_begin(struct page *page) must_check;

/* Prints it behind `label`, further lines under its text. -ENOMEM. */
int page_end(struct page *page, enum tone tone, const char *label) must_check;

/* One paragraph of foreign text. */
int page_foreign(struct page *page, enum tone tone, const char *label, const char *text) must_check;

void page_tone(const struct page *page, enum tone tone);

/* Into the paragraph, with no column limit but `most`. */
void page_name(const struct page *page, const char *text, size_t most);

/* Into the paragraph: a container's name, of an id of 64 digits the first 12, as the runtimes' own tools show it. */
void page_container(const struct page *page, const char *name);

enum { WHOLE_TEXT = 100000 }; /* columns; no text is that long */

/* remarks.c: everything below the table. */
int page_remarks(struct page *page) must_check;
