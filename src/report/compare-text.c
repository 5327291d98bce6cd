#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/compare-page.h"
#include "report/foreign.h"
#include "report/grid.h"

enum {
    DEFAULT_WIDTH = 80,
    COMM_COLUMNS = 60,
    NAME_COLUMNS = 32,
    OWNER_COLUMNS = 24,
    LABEL_COLUMNS = 56,
    ARENAS_TOLD = 8,
};

static void title_allocator(const struct compare_page *p)
{
    const struct snapshot *s = p->c->after;

    if (!s->allocator) {
        fputs("allocator not recognised", p->page.paragraph);
        return;
    }
    page_name(&p->page, s->allocator, NAME_COLUMNS);
    if (s->allocator_version) {
        fputc(' ', p->page.paragraph);
        page_name(&p->page, s->allocator_version, NAME_COLUMNS);
    }
    if (!s->decoded)
        fputs(" (not decoded)", p->page.paragraph);
}

/* "3 h earlier" */
static void title_interval(const struct compare_page *p)
{
    int64_t ns = p->c->interval_ns;

    if (!p->c->interval_known)
        fputs("an earlier look", p->page.paragraph);
    else
        fprintf(p->page.paragraph, "%s %s",
                format_interval(ns < 0 ? -(uint64_t)ns : (uint64_t)ns).text,
                ns < 0 ? "later, by the clock" : "earlier");
}

static int print_title(struct compare_page *p)
{
    const char *separator = p->page.style.utf8 ? " · " : " - ";
    int r = page_begin(&p->page);

    if (r)
        return r;
    page_name(&p->page, p->c->after->comm, COMM_COLUMNS);
    fprintf(p->page.paragraph, " %d%s", p->c->after->pid, separator);
    title_allocator(p);
    fprintf(p->page.paragraph, "%scompared with ", separator);
    if (p->c->relation == RELATION_OTHER) {
        page_name(&p->page, p->c->before->comm, COMM_COLUMNS);
        fprintf(p->page.paragraph, " %d, ", p->c->before->pid);
    }
    title_interval(p);
    return page_end(&p->page, TONE_PLAIN, "");
}

/* "RSS grew by 212 MiB in 3 h" */
static void headline_total(const struct compare_page *p)
{
    const struct changes *changes = &p->rows.changes;
    size_t total = changes->count;
    bool grew = changes->after[total] > changes->before[total];
    bool same = p->c->relation == RELATION_SAME;
    struct figure size = changes_size(changes, total);

    if (changes->after[total] == changes->before[total]) {
        fprintf(p->page.paragraph, "RSS is %s, as before", changes_after(changes, total).text);
        return;
    }
    if (!same) {
        fprintf(p->page.paragraph, "RSS is %s %s than before", size.text,
                grew ? "higher" : "lower");
        return;
    }
    fprintf(p->page.paragraph, "RSS %s by %s", grew ? "grew" : "shrank", size.text);
    if (p->c->interval_known && p->c->interval_ns > 0)
        fprintf(p->page.paragraph, " in %s", format_interval((uint64_t)p->c->interval_ns).text);
}

static void headline_place(const struct compare_page *p, const struct compare_row *row)
{
    if (!row->owner) {
        fprintf(p->page.paragraph, " %s", compare_phrase(row->account));
        return;
    }
    fputs(" in memory of ", p->page.paragraph);
    page_name(&p->page, owner_of(row->owner)->name, OWNER_COLUMNS);
}

/* Difference of a row in the direction of RSS' own, and what is then left for the others; in steps.
 */
static int64_t steps_of(const struct changes *changes, size_t row, bool fell)
{
    int64_t difference = (int64_t)(changes->after_steps[row] - changes->before_steps[row]);

    return fell ? -difference : difference;
}

/* Amounts can be alike as they are told, and differ. */
static const char *whole_of(const struct changes *changes, size_t row)
{
    size_t total = changes->count;

    return changes->after[row] - changes->before[row] ==
                   changes->after[total] - changes->before[total]
               ? "all"
               : "nearly all";
}

/* ": 180 MiB of it in blocks that the program holds", or "300 MiB more in ..., 88 MiB less
 * elsewhere" */
static void headline_leading(const struct compare_page *p, size_t leading)
{
    const struct changes *changes = &p->rows.changes;
    size_t total = changes->count;
    bool fell = changes->after[total] < changes->before[total];
    int64_t part = steps_of(changes, leading, fell), all = steps_of(changes, total, fell);
    const struct compare_row *row = &p->rows.rows[leading];

    if (part <= all && changes->after[total] != changes->before[total]) {
        fprintf(p->page.paragraph, ": %s of it",
                part == all ? whole_of(changes, leading) : changes_size(changes, leading).text);
        headline_place(p, row);
        return;
    }
    fprintf(p->page.paragraph, ": %s %s", changes_size(changes, leading).text,
            fell ? "less" : "more");
    headline_place(p, row);
    fprintf(p->page.paragraph, ", %s %s elsewhere",
            column_figure(&changes->unit, (uint64_t)(part - all)).text, fell ? "more" : "less");
}

static int print_headline(struct compare_page *p)
{
    int r = page_begin(&p->page);

    if (r)
        return r;
    headline_total(p);
    if (p->leading < p->rows.changes.count)
        headline_leading(p, p->leading);
    else
        fputs(": no account has changed", p->page.paragraph);
    fputc('.', p->page.paragraph);
    return page_end(&p->page, TONE_STRONG, "");
}

/* "unexplained: jemalloc 5.3.0" */
static void put_label(struct grid *grid, const struct compare_page *p,
                      const struct compare_row *row)
{
    char label[512];
    const struct snapshot_owner *owner;

    if (!row->owner) {
        grid_put(grid, 0, TONE_PLAIN, "%s", compare_label(row->account));
        return;
    }
    owner = owner_of(row->owner);
    snprintf(label, sizeof label, "%s: %.200s%s%.200s", compare_label(row->account), owner->name,
             owner->version ? " " : "", owner->version ? owner->version : "");
    grid_put_name(grid, 0, label, LABEL_COLUMNS, p->page.style.utf8);
}

void compare_put_changes(struct grid *grid, const struct changes *changes, size_t row)
{
    enum tone tone = changes->after[row] > changes->before[row]   ? TONE_DOUBT
                     : changes->after[row] < changes->before[row] ? TONE_GOOD
                                                                  : TONE_FAINT;

    grid_put(grid, 1, TONE_PLAIN, "%s", changes_before(changes, row).text);
    grid_put(grid, 2, TONE_PLAIN, "%s", changes_after(changes, row).text);
    grid_put(grid, 3, tone, "%s", changes_difference(changes, row).text);
}

static int print_accounts(struct compare_page *p)
{
    const struct grid_column columns[] = {
        {"", 0, true}, {"before", 2, false}, {p->later, 1, false}, {"difference", 0, false}};
    const struct changes *changes = &p->rows.changes;
    struct grid grid = {.columns = columns, .column_count = sizeof columns / sizeof columns[0]};

    for (size_t i = 0; i < changes->count; i++) {
        if (changes->before[i] == 0 && changes->after[i] == 0)
            continue;
        grid_row(&grid);
        put_label(&grid, p, &p->rows.rows[i]);
        compare_put_changes(&grid, changes, i);
    }
    grid_row(&grid);
    grid_put(&grid, 0, TONE_STRONG, "RSS");
    compare_put_changes(&grid, changes, changes->count);
    return grid_print(&grid, &p->page);
}

static int print_all(struct compare_page *p)
{
    int r;

    if (p->page.style.quiet)
        return print_headline(p);
    r = print_title(p);
    fputc('\n', p->page.out);
    if (r == 0)
        r = print_headline(p);
    if (r == 0)
        r = print_accounts(p);
    fputc('\n', p->page.out);
    if (r == 0)
        r = compare_print_arenas(p);
    return r ? r : compare_print_remarks(p);
}

int report_compare_text(const struct compare_report *report, FILE *out, struct report_style style)
{
    struct compare_page page = {.page = {.style = style, .out = out},
                                .report = report,
                                .c = report->comparison,
                                .later = report->now ? "now" : "after",
                                .rows = compare_rows_of(report->comparison)};
    int r;

    page.leading = compare_leading_row(&page.rows);
    if (style.width == 0)
        page.page.style.width = DEFAULT_WIDTH;
    r = print_all(&page);
    if (r == 0 && (fflush(out) || ferror(out)))
        r = -EIO;
    return r;
}
