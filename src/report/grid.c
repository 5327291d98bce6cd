#include "report/grid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "report/foreign.h"

enum { INDENT = 2, GAP = 2 };

void grid_row(struct grid *grid)
{
    if (vector_reserve_one((void **)&grid->rows, grid->count, &grid->capacity, sizeof *grid->rows))
        grid->failed = true;
    else
        grid->rows[grid->at = grid->count++] = (struct grid_row){0};
}

void grid_at(struct grid *grid, size_t row)
{
    grid->at = row;
}

/* Takes `text` over; NULL: there was no memory for it. */
static void put(struct grid *grid, size_t column, enum tone tone, char *text)
{
    if (!text)
        grid->failed = true;
    if (grid->failed) {
        free(text);
        return;
    }
    free(grid->rows[grid->at].cells[column]);
    grid->rows[grid->at].cells[column] = text;
    grid->rows[grid->at].tones[column] = tone;
}

void grid_put(struct grid *grid, size_t column, enum tone tone, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    put(grid, column, tone, text);
}

void grid_put_name(struct grid *grid, size_t column, const char *text, size_t most, bool utf8)
{
    char *copy = NULL;
    size_t size;
    FILE *out = open_memstream(&copy, &size);

    if (out) {
        foreign_print(out, text, most, utf8);
        if (fclose(out)) {
            free(copy);
            copy = NULL;
        }
    }
    put(grid, column, TONE_PLAIN, copy);
}

struct layout {
    size_t width[GRID_COLUMNS];
    bool left_out[GRID_COLUMNS];
};

static const char *cell_of(const struct grid *grid, size_t row, size_t column)
{
    const char *text = grid->rows[row].cells[column];

    return text ? text : "";
}

static void measure(const struct grid *grid, struct layout *layout)
{
    for (size_t c = 0; c < grid->column_count; c++) {
        layout->width[c] = utf8_columns(grid->columns[c].title);
        for (size_t i = 0; i < grid->count; i++)
            if (utf8_columns(cell_of(grid, i, c)) > layout->width[c])
                layout->width[c] = utf8_columns(cell_of(grid, i, c));
    }
}

static size_t width_of(const struct grid *grid, const struct layout *layout)
{
    size_t width = INDENT;

    for (size_t c = 0; c < grid->column_count; c++)
        if (!layout->left_out[c])
            width += layout->width[c] + (c ? GAP : 0);
    return width;
}

/* False when there is nothing left that may go. */
static bool leave_one_out(const struct grid *grid, struct layout *layout)
{
    size_t most = 0;

    for (size_t c = 1; c < grid->column_count; c++)
        if (!layout->left_out[c] && (layout->left_out[most] || grid->columns[c].dispensable >
                                                                   grid->columns[most].dispensable))
            most = c;
    if (layout->left_out[most] || grid->columns[most].dispensable == 0)
        return false;
    return layout->left_out[most] = true;
}

static void print_text(const struct page *page, const char *text, enum tone tone)
{
    if (tone != TONE_PLAIN)
        page_tone(page, tone);
    fputs(text, page->out);
    if (tone != TONE_PLAIN)
        page_tone(page, TONE_PLAIN);
}

/* `row`: grid->count for the titles. Blanks are printed when something follows them. */
static void print_row(const struct grid *grid, const struct layout *layout, const struct page *page,
                      size_t row)
{
    bool titles = row == grid->count;
    size_t blanks = 0;

    for (size_t c = 0; c < grid->column_count; c++) {
        const char *text = titles ? grid->columns[c].title : cell_of(grid, row, c);
        size_t padding = layout->width[c] - utf8_columns(text);

        if (layout->left_out[c])
            continue;
        blanks += (c ? GAP : INDENT) + (grid->columns[c].left ? 0 : padding);
        if (*text) {
            fprintf(page->out, "%*s", (int)blanks, "");
            print_text(page, text, titles ? TONE_FAINT : grid->rows[row].tones[c]);
            blanks = 0;
        }
        blanks += grid->columns[c].left ? padding : 0;
    }
    fputc('\n', page->out);
}

static int print_left_out(const struct grid *grid, const struct layout *layout, struct page *page)
{
    const char *between = "no room here for: ";
    bool begun = false;
    int r = 0;

    for (size_t c = 0; r == 0 && c < grid->column_count; c++) {
        if (!layout->left_out[c])
            continue;
        if (!begun)
            r = page_begin(page);
        begun = true;
        if (r == 0)
            fprintf(page->paragraph, "%s%s", between, grid->columns[c].title);
        between = ", ";
    }
    if (r || !begun)
        return r;
    return page_end(page, TONE_FAINT, "  ");
}

void grid_free(struct grid *grid)
{
    for (size_t i = 0; i < grid->count; i++)
        for (size_t c = 0; c < GRID_COLUMNS; c++)
            free(grid->rows[i].cells[c]);
    free(grid->rows);
    *grid = (struct grid){0};
}

int grid_print(struct grid *grid, struct page *page)
{
    struct layout layout = {0};
    int r = grid->failed ? -ENOMEM : 0;

    if (r == 0) {
        measure(grid, &layout);
        while (width_of(grid, &layout) > page->style.width && leave_one_out(grid, &layout))
            ;
        print_row(grid, &layout, page, grid->count);
        for (size_t i = 0; i < grid->count; i++)
            print_row(grid, &layout, page, i);
        r = print_left_out(grid, &layout, page);
    }
    grid_free(grid);
    return r;
}
