#include "report/arenas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/grid.h"

enum {
    COLUMN_ARENA,
    COLUMN_HEAPS,
    COLUMN_RESERVED,
    COLUMN_RESIDENT,
    COLUMN_LIVE,
    COLUMN_BLOCKS,
    COLUMN_TCACHE,
    COLUMN_FASTBIN,
    COLUMN_BINS,
    COLUMN_TOP,
    COLUMN_RETURNABLE,
    COLUMN_PINNED,
    COLUMNS,
};

/* What fits into 80 columns is what is asked for most. */
static const struct grid_column columns[COLUMNS] = {
    [COLUMN_ARENA] = {"arena", 0, true},
    [COLUMN_HEAPS] = {"heaps", 8, false},
    [COLUMN_RESERVED] = {"reserved", 9, false},
    [COLUMN_RESIDENT] = {"resident", 0, false},
    [COLUMN_LIVE] = {"live", 1, false},
    [COLUMN_BLOCKS] = {"blocks", 2, false},
    [COLUMN_TCACHE] = {"tcache", 7, false},
    [COLUMN_FASTBIN] = {"fastbin", 6, false},
    [COLUMN_BINS] = {"bins", 5, false},
    [COLUMN_TOP] = {"top", 4, false},
    [COLUMN_RETURNABLE] = {"returnable", 0, false},
    [COLUMN_PINNED] = {"pinned", 3, false},
};

static bool is_amount(size_t column)
{
    return column != COLUMN_ARENA && column != COLUMN_HEAPS && column != COLUMN_BLOCKS;
}

/* One arena, or (arena NULL) all mmapped chunks. */
struct arena_row {
    const struct heap_arena *arena;
    const struct arena_tally *tally; /* NULL: not known */
};

/* The largest first; of which nothing is known, last. */
static int by_resident(const void *a, const void *b)
{
    const struct arena_row *left = a, *right = b;

    if (!left->tally || !right->tally)
        return !left->tally - !right->tally;
    return (left->tally->resident_bytes < right->tally->resident_bytes) -
           (left->tally->resident_bytes > right->tally->resident_bytes);
}

/* Arenas, and in the last row mmapped chunks, if there are any. The number of rows. */
static size_t make_rows(const struct explanation *e, struct arena_row *rows)
{
    size_t count = e->arenas.count;

    for (size_t i = 0; i < count; i++) {
        bool known = i < e->tally.arena_count && !e->arenas.items[i].refused;

        rows[i] = (struct arena_row){&e->arenas.items[i], known ? &e->tally.arenas[i] : NULL};
    }
    qsort(rows, count, sizeof *rows, by_resident);
    rows[count] = (struct arena_row){NULL, &e->tally.mmapped};
    return count + (e->tally.mmapped.live_blocks || e->tally.mmapped.resident_bytes ? 1 : 0);
}

/* 0 where it is not known. */
static uint64_t amount_of(const struct arena_row *row, size_t column)
{
    static const struct arena_tally nothing;
    const struct arena_tally *tally = row->tally ? row->tally : &nothing;

    switch (column) {
    case COLUMN_RESERVED:
        return row->arena ? row->arena->reserved_bytes : 0;
    case COLUMN_RESIDENT:
        return tally->resident_bytes;
    case COLUMN_LIVE:
        return tally->live_bytes;
    case COLUMN_TCACHE:
        return tally->free_bytes[SPAN_TCACHE];
    case COLUMN_FASTBIN:
        return tally->free_bytes[SPAN_FASTBIN];
    case COLUMN_BINS:
        return tally->free_bytes[SPAN_BIN];
    case COLUMN_TOP:
        return tally->free_bytes[SPAN_TOP];
    case COLUMN_RETURNABLE:
        return tally->account[ACCOUNT_HEAP_RETURNABLE];
    default:
        return tally->account[ACCOUNT_HEAP_PINNED];
    }
}

/* The unit stands under the column's title. */
static void put_number(struct grid *grid, size_t column, enum tone tone, const struct column *unit,
                       uint64_t steps, bool is_there)
{
    struct figure figure = column_figure(unit, steps ? steps : 1);

    *strrchr(figure.text, ' ') = '\0';
    if (is_there)
        grid_put(grid, column, tone, "%s%s", steps ? "" : "<", figure.text);
    else
        grid_put(grid, column, tone, "0");
}

struct arena_table {
    struct grid grid;
    struct arena_row *rows;
    size_t count;
    uint64_t *bytes, *steps; /* of one column at a time */
};

static void put_row(struct arena_table *table, const struct arena_row *row)
{
    struct grid *grid = &table->grid;

    grid_row(grid);
    if (!row->arena) {
        grid_put(grid, COLUMN_ARENA, TONE_PLAIN, "mmapped chunks");
    } else {
        grid_put(grid, COLUMN_ARENA, TONE_PLAIN, "0x%" PRIx64 "%s", row->arena->address,
                 row->arena->main ? " main" : "");
        grid_put(grid, COLUMN_HEAPS, TONE_PLAIN, "%u", row->arena->heaps);
    }
    if (row->tally)
        grid_put(grid, COLUMN_BLOCKS, TONE_PLAIN, "%s", format_count(row->tally->live_blocks).text);
}

static void put_rows(struct arena_table *table)
{
    uint64_t blocks = 0, heaps = 0;

    grid_row(&table->grid); /* units */
    for (size_t i = 0; i < table->count; i++) {
        put_row(table, &table->rows[i]);
        blocks += table->rows[i].tally ? table->rows[i].tally->live_blocks : 0;
        heaps += table->rows[i].arena ? table->rows[i].arena->heaps : 0;
    }
    grid_row(&table->grid);
    grid_put(&table->grid, COLUMN_ARENA, TONE_STRONG, "all");
    grid_put(&table->grid, COLUMN_HEAPS, TONE_STRONG, "%s", format_count(heaps).text);
    grid_put(&table->grid, COLUMN_BLOCKS, TONE_STRONG, "%s", format_count(blocks).text);
}

static bool has_amount(const struct arena_row *row, size_t column)
{
    return column == COLUMN_RESERVED ? row->arena != NULL : row->tally != NULL;
}

/* Returns to `grid`, whose rows are there already: that of the units, the arenas', and the sums'.
 */
static int put_amount(struct arena_table *table, size_t column)
{
    struct column unit;
    int r;

    for (size_t i = 0; i < table->count; i++)
        table->bytes[i] = amount_of(&table->rows[i], column);
    r = column_of_many(table->bytes, table->count, &unit, table->steps);
    if (r)
        return r;
    grid_at(&table->grid, 0);
    grid_put(&table->grid, column, TONE_FAINT, "%s", column_unit(&unit));
    for (size_t i = 0; i < table->count; i++) {
        grid_at(&table->grid, 1 + i);
        if (has_amount(&table->rows[i], column))
            put_number(&table->grid, column, TONE_PLAIN, &unit, table->steps[i],
                       table->bytes[i] > 0);
        else if (column == COLUMN_RESIDENT)
            grid_put(&table->grid, column, TONE_DOUBT, "refused");
    }
    grid_at(&table->grid, 1 + table->count);
    put_number(&table->grid, column, TONE_STRONG, &unit, unit.total_steps, unit.total_steps > 0);
    return 0;
}

static int print_table(struct page *page, struct arena_table *table)
{
    int r = 0;

    table->count = make_rows(page->e, table->rows);
    put_rows(table);
    for (size_t i = 0; r == 0 && i < COLUMNS; i++)
        if (is_amount(i))
            r = table->grid.failed ? -ENOMEM : put_amount(table, i);
    if (r)
        grid_free(&table->grid);
    else
        r = grid_print(&table->grid, page);
    fputc('\n', page->out);
    return r;
}

static int print_none(struct page *page)
{
    int r = page_begin(page);

    if (r)
        return r;
    fputs("no heap was decoded, so that no arenas can be told\n", page->paragraph);
    return page_end(page, TONE_DOUBT, "");
}

int page_arenas(struct page *page)
{
    size_t count = page->e->arenas.count + 1;
    auto_free struct arena_row *rows = calloc(count, sizeof *rows);
    auto_free uint64_t *bytes = calloc(count, sizeof *bytes), *steps = calloc(count, sizeof *steps);
    struct arena_table table = {
        .grid = {.columns = columns, .column_count = sizeof columns / sizeof columns[0]},
        .rows = rows,
        .bytes = bytes,
        .steps = steps};

    if (!page->e->decoded)
        return print_none(page);
    if (!rows || !bytes || !steps)
        return -ENOMEM;
    return print_table(page, &table);
}
