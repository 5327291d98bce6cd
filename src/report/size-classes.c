/* Which sizes of chunks hold most. */
#include <errno.h>
#include <stdlib.h>

#include "report/arenas.h"
#include "report/grid.h"

enum { CLASSES_TOLD = 10 };

/* Indices of those that hold anything, the largest first. */
struct ranking {
    const struct heap_census *census;
    unsigned classes[CENSUS_CLASSES];
    size_t count;
};

static uint64_t bytes_at(const struct ranking *ranking, size_t i)
{
    return ranking->census->classes[ranking->classes[i]].bytes;
}

/* By insertion: there are few. */
static struct ranking rank(const struct heap_census *census)
{
    struct ranking ranking = {.census = census};

    for (unsigned class = 0; class < CENSUS_CLASSES; class ++) {
        size_t at = ranking.count;

        if (census->classes[class].blocks == 0)
            continue;
        for (; at > 0 && bytes_at(&ranking, at - 1) < census->classes[class].bytes; at--)
            ranking.classes[at] = ranking.classes[at - 1];
        ranking.classes[at] = class;
        ranking.count++;
    }
    return ranking;
}

/* "48 B", "1 KiB to 2 KiB", "8192 MiB or more" */
static void put_label(struct grid *grid, unsigned class)
{
    uint64_t least = census_class_least(class);

    if (class < CENSUS_EXACT)
        grid_put(grid, 0, TONE_PLAIN, "%s", format_bytes(least).text);
    else if (class + 1 < CENSUS_CLASSES)
        grid_put(grid, 0, TONE_PLAIN, "%s to %s", format_bytes(least).text,
                 format_bytes(2 * least).text);
    else
        grid_put(grid, 0, TONE_PLAIN, "%s or more", format_bytes(least).text);
}

static void put_figures(struct grid *grid, enum tone tone, uint64_t blocks, struct figure bytes)
{
    grid_put(grid, 1, tone, "%s", format_count(blocks).text);
    grid_put(grid, 2, tone, "%s", bytes.text);
}

/* The last row is of all that are not told, if any. */
static void put_classes(struct grid *grid, const struct ranking *ranking)
{
    size_t told = ranking->count < CLASSES_TOLD ? ranking->count : CLASSES_TOLD;
    uint64_t bytes[CLASSES_TOLD + 1] = {0}, blocks[CLASSES_TOLD + 1] = {0}, all = 0;
    struct column column;

    for (size_t i = 0; i < ranking->count; i++) {
        size_t row = i < told ? i : told;

        bytes[row] += bytes_at(ranking, i);
        blocks[row] += ranking->census->classes[ranking->classes[i]].blocks;
        all += ranking->census->classes[ranking->classes[i]].blocks;
    }
    column = column_of(bytes, told + 1);
    for (size_t i = 0; i < told; i++) {
        grid_row(grid);
        put_label(grid, ranking->classes[i]);
        put_figures(grid, TONE_PLAIN, blocks[i], column_part(&column, i));
        grid_put(grid, 3, TONE_PLAIN, "%s",
                 format_count(ranking->census->classes[ranking->classes[i]].pinned_pages).text);
    }
    if (ranking->count > told) {
        grid_row(grid);
        grid_put(grid, 0, TONE_PLAIN, "%zu more sizes", ranking->count - told);
        put_figures(grid, TONE_PLAIN, blocks[told], column_part(&column, told));
    }
    grid_row(grid);
    grid_put(grid, 0, TONE_STRONG, "all");
    put_figures(grid, TONE_STRONG, all, column_figure(&column, column.total_steps));
}

static int print_pinning(struct page *page)
{
    const struct heap_census *census = &page->e->census;
    int r;

    if (census->pinned_pages == 0)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph,
            "%s page%s: free memory there cannot go back, because of %s in use on the same pages",
            format_count(census->pinned_pages).text, census->pinned_pages == 1 ? "" : "s",
            format_bytes(census->pinning_bytes).text);
    return page_end(page, TONE_FAINT, "  pinned: ");
}

int page_size_classes(struct page *page)
{
    static const struct grid_column columns[] = {{"chunks in use of", 0, true},
                                                 {"blocks", 0, false},
                                                 {"bytes", 0, false},
                                                 {"pages pinned", 1, false}};
    struct grid grid = {.columns = columns, .column_count = sizeof columns / sizeof columns[0]};
    struct ranking ranking = rank(&page->e->census);
    int r;

    if (ranking.count == 0)
        return 0;
    put_classes(&grid, &ranking);
    r = grid_print(&grid, page);
    if (r == 0)
        r = print_pinning(page);
    fputc('\n', page->out);
    return r;
}
