/* Which arenas of one process grew and shrank. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "report/compare-page.h"

enum { ARENAS_TOLD = 8 };

/* Zero for one that is not there, as it has no pages then. */
static struct amount figure_of(const struct arena_pair *pair, bool after, enum arena_figure figure)
{
    return arena_amount(after ? pair->after : pair->before, figure);
}

static bool is_known(const struct arena_pair *pair)
{
    return figure_of(pair, false, ARENA_RESIDENT).known &&
           figure_of(pair, true, ARENA_RESIDENT).known;
}

static uint64_t change_of(const struct arena_pair *pair)
{
    uint64_t before = figure_of(pair, false, ARENA_RESIDENT).value;
    uint64_t after = figure_of(pair, true, ARENA_RESIDENT).value;

    return after > before ? after - before : before - after;
}

/* Known ones first, then those that changed most. */
static int by_change(const void *a, const void *b)
{
    const struct arena_pair *left = a, *right = b;

    if (is_known(left) != is_known(right))
        return is_known(left) ? -1 : 1;
    return (change_of(left) < change_of(right)) - (change_of(left) > change_of(right));
}

/* The rows: those arenas that are told, all others that are known, and mmapped chunks. */
struct arena_rows {
    struct arena_pair *pairs; /* by_change */
    size_t known, unknown, told;
    uint64_t before[ARENAS_TOLD + 2], after[ARENAS_TOLD + 2];
};

/* False when their sums fit in no 63 bits, as those of no process do. */
static bool add_up(const struct compare_page *p, struct arena_rows *rows)
{
    const struct amount *before = p->c->before->figures, *after = p->c->after->figures;
    uint64_t sums[2] = {0};

    for (size_t i = 0; i < rows->known; i++) {
        size_t row = i < rows->told ? i : rows->told;

        rows->before[row] += figure_of(&rows->pairs[i], false, ARENA_RESIDENT).value;
        rows->after[row] += figure_of(&rows->pairs[i], true, ARENA_RESIDENT).value;
        if (rows->before[row] > INT64_MAX || rows->after[row] > INT64_MAX)
            return false;
    }
    if (before[FIGURE_MMAPPED_RESIDENT].known && after[FIGURE_MMAPPED_RESIDENT].known) {
        rows->before[rows->told + 1] = before[FIGURE_MMAPPED_RESIDENT].value;
        rows->after[rows->told + 1] = after[FIGURE_MMAPPED_RESIDENT].value;
    }
    for (size_t i = 0; i < rows->told + 2; i++)
        if (__builtin_add_overflow(sums[0], rows->before[i], &sums[0]) ||
            __builtin_add_overflow(sums[1], rows->after[i], &sums[1]))
            return false;
    return true;
}

/* False when there is nothing to tell. */
static bool make_rows(const struct compare_page *p, struct arena_rows *rows)
{
    size_t count = p->c->arenas.count;
    bool changed;

    qsort(rows->pairs, count, sizeof *rows->pairs, by_change);
    while (rows->known < count && is_known(&rows->pairs[rows->known]))
        rows->known++;
    rows->unknown = count - rows->known;
    while (rows->told < rows->known && rows->told < ARENAS_TOLD &&
           change_of(&rows->pairs[rows->told]))
        rows->told++;
    if (!add_up(p, rows))
        return false;
    changed = rows->told > 0 || rows->before[rows->told + 1] != rows->after[rows->told + 1];
    return changed;
}

/* "+1,234": what the program holds more. */
static void put_blocks(struct grid *grid, struct amount before, struct amount after)
{
    uint64_t more = after.value - before.value;

    if (!before.known || !after.known)
        return;
    if (after.value >= before.value)
        grid_put(grid, 4, TONE_PLAIN, "%s%s", more ? "+" : "", format_count(more).text);
    else
        grid_put(grid, 4, TONE_PLAIN, "-%s", format_count(before.value - after.value).text);
}

static void put_arena(struct grid *grid, const struct arena_rows *rows,
                      const struct changes *changes, size_t i)
{
    const struct arena_pair *pair = &rows->pairs[i];
    const struct snapshot_arena *arena = pair->after ? pair->after : pair->before;

    grid_row(grid);
    grid_put(grid, 0, TONE_PLAIN, "arena 0x%" PRIx64 "%s", arena->address,
             arena->main     ? " (main)"
             : !pair->before ? " (new)"
             : !pair->after  ? " (gone)"
                             : "");
    compare_put_changes(grid, changes, i);
    put_blocks(grid, figure_of(pair, false, ARENA_LIVE_BLOCKS),
               figure_of(pair, true, ARENA_LIVE_BLOCKS));
}

static void put_rest(struct grid *grid, const struct compare_page *p, const struct arena_rows *rows,
                     const struct changes *changes)
{
    const struct snapshot *before = p->c->before, *after = p->c->after;
    size_t others = rows->known - rows->told, mmapped = rows->told + 1;

    if (others) {
        grid_row(grid);
        grid_put(grid, 0, TONE_PLAIN, "%zu %sarena%s", others, rows->told ? "other " : "",
                 others == 1 ? "" : "s");
        compare_put_changes(grid, changes, rows->told);
    }
    if (rows->before[mmapped] || rows->after[mmapped]) {
        grid_row(grid);
        grid_put(grid, 0, TONE_PLAIN, "mmapped chunks");
        compare_put_changes(grid, changes, mmapped);
        put_blocks(grid, before->figures[FIGURE_MMAPPED_COUNT],
                   after->figures[FIGURE_MMAPPED_COUNT]);
    }
    grid_row(grid);
    grid_put(grid, 0, TONE_STRONG, "%s", rows->unknown ? "heap, as far as known" : "heap");
    compare_put_changes(grid, changes, changes->count);
    if (rows->unknown == 0)
        put_blocks(grid, snapshot_live_blocks(before), snapshot_live_blocks(after));
}

static int print_rows(struct compare_page *p, const struct arena_rows *rows)
{
    const struct grid_column columns[] = {{"resident", 0, true},
                                          {"before", 3, false},
                                          {p->later, 2, false},
                                          {"difference", 0, false},
                                          {"live blocks", 1, false}};
    struct grid grid = {.columns = columns, .column_count = sizeof columns / sizeof columns[0]};
    struct changes changes = changes_of(rows->before, rows->after, rows->told + 2);
    int r;

    for (size_t i = 0; i < rows->told; i++)
        put_arena(&grid, rows, &changes, i);
    put_rest(&grid, p, rows, &changes);
    r = grid_print(&grid, &p->page);
    fputc('\n', p->page.out);
    return r;
}

int compare_print_arenas(struct compare_page *page)
{
    const struct arena_pairs *pairs = &page->c->arenas;
    auto_free struct arena_pair *copy = calloc(pairs->count + 1, sizeof *copy);
    struct arena_rows rows = {.pairs = copy};

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < pairs->count; i++)
        copy[i] = pairs->items[i];
    if (page->c->relation != RELATION_SAME || !make_rows(page, &rows))
        return 0;
    return print_rows(page, &rows);
}
