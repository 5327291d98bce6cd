#include "report/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/arenas.h"
#include "report/foreign.h"
#include "report/page.h"

enum {
    DEFAULT_WIDTH = 80,
    COMM_COLUMNS = 60, /* what 15 bytes take that are all escaped */
    NAME_COLUMNS = 32, /* of a cgroup */
    OWNER_COLUMNS = 32,
    BAR_COLUMNS = 40,
    LEAST_BAR = 4, /* below that a bar says nothing */
    CELL_PARTS = 8,
};

/* The last part of a cgroup's path: "web.service". */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static void title_allocator(const struct page *page)
{
    const struct explanation *e = page->e;

    if (!e->allocator) {
        fputs("allocator not recognised", page->paragraph);
        return;
    }
    page_name(page, e->allocator, NAME_COLUMNS);
    if (e->allocator_version[0]) {
        fputc(' ', page->paragraph);
        page_name(page, e->allocator_version, NAME_COLUMNS);
    }
    if (!e->decoded)
        fputs(" (not decoded)", page->paragraph);
}

static void title_cgroup(const struct page *page, const char *separator)
{
    const struct cgroup_memory *cgroup = &page->e->cgroup;

    if (page->e->container) {
        fprintf(page->paragraph, "%scontainer ", separator);
        page_container(page, page->e->container);
    } else if (cgroup->version > 0 && cgroup->charge_known) {
        fprintf(page->paragraph, "%s%s", separator,
                strcmp(cgroup->path, "/") == 0 ? "cgroup " : "");
        page_name(page, last_part(cgroup->path), NAME_COLUMNS);
    }
    if (!cgroup->charge_known)
        return;
    fprintf(page->paragraph, " %s",
            cgroup->limit_bytes == CGROUP_NO_LIMIT
                ? format_bytes(cgroup->charge_bytes).text
                : format_bytes_of(cgroup->charge_bytes, cgroup->limit_bytes).text);
    if (cgroup->room_known)
        fprintf(page->paragraph, ", %s to the limit", format_bytes(cgroup->room_bytes).text);
}

static int print_title(struct page *page)
{
    const char *separator = page->style.utf8 ? " · " : " - ";
    int r = page_begin(page);

    if (r)
        return r;
    page_name(page, page->e->comm, COMM_COLUMNS);
    fprintf(page->paragraph, " %d%s", page->e->pid, separator);
    title_allocator(page);
    title_cgroup(page, separator);
    return page_end(page, TONE_PLAIN, "");
}

/* In the table's unit, or exactly what it is where that rounds to nothing. */
static struct figure amount(const struct page *page, uint64_t steps, uint64_t bytes)
{
    return steps ? column_figure(&page->groups.column, steps) : format_bytes(bytes);
}

static void headline_freed(const struct page *page, uint64_t freed_bytes)
{
    const struct explanation *e = page->e;

    if (!e->decoded)
        fputs("how much of it the program has freed cannot be told", page->paragraph);
    else if (freed_bytes == 0)
        fprintf(page->paragraph, "the program has freed none of it%s",
                e->refusals.count ? ", as far as can be told" : "");
    else
        fprintf(page->paragraph, "%s%s was freed by the program",
                !e->stopped         ? "about "
                : e->refusals.count ? "at least "
                                    : "",
                amount(page, groups_freed_steps(&page->groups), freed_bytes).text);
}

static void headline_returnable(const struct page *page, uint64_t freed_bytes)
{
    const struct column *column = &page->groups.column;
    uint64_t zeros = column->bytes[GROUP_ZEROS],
             returnable = zeros + column->bytes[GROUP_RETURNABLE];

    if (zeros)
        fprintf(page->paragraph, ", %s holds only zeros",
                amount(page, column->steps[GROUP_ZEROS], zeros).text);
    if (returnable)
        fprintf(page->paragraph, "; %s can go back now",
                amount(page, groups_returnable_steps(&page->groups), returnable).text);
    else if (freed_bytes)
        fputs("; none of that can go back now", page->paragraph);
    fputc('.', page->paragraph);
}

static int print_headline(struct page *page)
{
    const struct column *column = &page->groups.column;
    uint64_t freed =
        column->bytes[GROUP_RETURNABLE] + column->bytes[GROUP_CACHED] + column->bytes[GROUP_PINNED];
    int r = page_begin(page);

    if (r)
        return r;
    fprintf(page->paragraph, "RSS %s: ", column_figure(column, column->total_steps).text);
    if (column->total_steps == 0) {
        fputs("nothing of this process is in memory now.", page->paragraph);
    } else {
        headline_freed(page, freed);
        headline_returnable(page, freed);
    }
    return page_end(page, TONE_STRONG, "");
}

struct table {
    char *labels[GROUPS_MOST];
    size_t label_columns, figure_columns, bar_columns;
};

static int make_label(struct page *page, size_t row, char **ret)
{
    const struct unexplained_owner *owner = page->groups.owners[row];
    int r = page_begin(page);

    if (r)
        return r;
    fputs(group_label(row < GROUP_FIXED ? (enum group)row : GROUP_FIXED), page->paragraph);
    if (owner) {
        fputs(": ", page->paragraph);
        page_name(page, owner->name, OWNER_COLUMNS);
        fputs(owner->version[0] ? " " : "", page->paragraph);
        page_name(page, owner->version, OWNER_COLUMNS);
    }
    r = fclose(page->paragraph);
    page->paragraph = NULL;
    if (r) {
        free(page->text);
        return -ENOMEM;
    }
    *ret = page->text;
    return 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int measure_table(struct page *page, struct table *table)
{
    const struct column *column = &page->groups.column;
    size_t taken;

    for (size_t i = 0; i < column->count; i++) {
        int r;

        if (column->bytes[i] == 0)
            continue;
        r = make_label(page, i, &table->labels[i]);
        if (r)
            return r;
        table->label_columns = larger(table->label_columns, utf8_columns(table->labels[i]));
        table->figure_columns = larger(table->figure_columns, strlen(column_part(column, i).text));
    }
    taken = 2 + table->label_columns + 2 + table->figure_columns + 2;
    table->bar_columns = page->style.width > taken ? page->style.width - taken : 0;
    if (table->bar_columns > BAR_COLUMNS)
        table->bar_columns = BAR_COLUMNS;
    return 0;
}

/* The whole width stands for the resident set. */
static void print_bar(const struct page *page, const struct table *table, size_t row)
{
    static const char *const parts[CELL_PARTS] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const struct column *column = &page->groups.column;
    double share = (double)column->steps[row] / (double)larger(column->total_steps, 1);
    size_t cells = (size_t)(share * (double)(table->bar_columns * CELL_PARTS));

    if (table->bar_columns < LEAST_BAR || cells / (page->style.utf8 ? 1 : CELL_PARTS) == 0)
        return;
    fputs("  ", page->out);
    page_tone(page, row == GROUP_RETURNABLE || row == GROUP_ZEROS ? TONE_GOOD
                    : row == GROUP_CACHED || row == GROUP_PINNED  ? TONE_DOUBT
                                                                  : TONE_FAINT);
    for (size_t i = 0; i < cells / CELL_PARTS; i++)
        fputs(page->style.utf8 ? "█" : "#", page->out);
    if (page->style.utf8)
        fputs(parts[cells % CELL_PARTS], page->out);
    page_tone(page, TONE_PLAIN);
}

static int print_table(struct page *page)
{
    const struct column *column = &page->groups.column;
    struct table table = {0};
    int r = measure_table(page, &table);

    for (size_t i = 0; i < column->count; i++) {
        if (r == 0 && table.labels[i]) {
            int padding = (int)(table.label_columns - utf8_columns(table.labels[i]));

            fprintf(page->out, "  %s%*s  %*s", table.labels[i], padding, "",
                    (int)table.figure_columns, column_part(column, i).text);
            print_bar(page, &table, i);
            fputc('\n', page->out);
        }
        free(table.labels[i]);
    }
    return r;
}

static int print_heap(struct page *page)
{
    int r = page_arenas(page);

    return r ? r : page_size_classes(page);
}

static int print_page(struct page *page)
{
    int r;

    if (page->style.quiet)
        return print_headline(page);
    r = print_title(page);
    fputc('\n', page->out);
    if (r == 0)
        r = print_headline(page);
    if (r == 0)
        r = print_table(page);
    fputc('\n', page->out);
    if (r == 0 && page->style.arenas)
        r = print_heap(page);
    return r ? r : page_remarks(page);
}

int report_why_text(const struct explanation *explanation, FILE *out, struct report_style style)
{
    struct page page = {
        .e = explanation, .style = style, .out = out, .groups = groups_of(explanation)};
    int r;

    if (page.style.width == 0)
        page.style.width = DEFAULT_WIDTH;
    r = print_page(&page);
    if (r == 0 && (fflush(out) || ferror(out)))
        r = -EIO;
    return r;
}
