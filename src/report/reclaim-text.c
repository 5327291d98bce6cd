#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/range.h"
#include "report/page.h"
#include "report/reclaim.h"

#define NOTE "note: "
#define LEFT "left: "
#define NOT  "not done: "

enum { DEFAULT_WIDTH = 80, COMM_COLUMNS = 60 };

/* What a charge may lag behind: each CPU keeps up to 64 pages of it at hand (memcg's stock). */
#define CHARGE_SLACK (64 * 64 * PAGE_BYTES)

static int print_title(struct page *page, const struct reclamation *r)
{
    int error = page_begin(page);

    if (error)
        return error;
    page_name(page, r->comm, COMM_COLUMNS);
    fprintf(page->paragraph, " %d", r->pid);
    return page_end(page, TONE_PLAIN, "");
}

static bool is_applied(const struct reclamation *r)
{
    for (size_t i = 0; i < r->cure_count; i++)
        if (r->cures[i].applied)
            return true;
    return false;
}

static int print_headline(struct page *page, const struct reclamation *r)
{
    uint64_t predicted = reclamation_predicted(r), returned = reclamation_returned(r);
    int error = page_begin(page);

    if (error)
        return error;
    fprintf(page->paragraph, "RSS %s", format_bytes(r->rss_before_bytes).text);
    if (is_applied(r))
        fprintf(page->paragraph, ", now %s: %s came back, %s was predicted.",
                format_bytes(r->rss_after_bytes).text, format_bytes(returned).text,
                format_bytes(predicted).text);
    else if (predicted == 0)
        fputs(": nothing of it can come back.", page->paragraph);
    else
        fprintf(page->paragraph, ": %s would come back%s.", format_bytes(predicted).text,
                r->below_least   ? ", which is less than was asked for (--min-bytes): nothing was "
                                   "done"
                : r->interrupted ? ", as far as was looked; nothing was done"
                                 : "");
    return page_end(page, TONE_STRONG, "");
}

static void print_charge(struct page *page, const struct cure_outcome *cure)
{
    if (!cure->charge_known)
        return;
    if (cure->returned_charge_bytes < 0)
        fprintf(page->paragraph, ", the cgroup's charge rose by %s",
                format_bytes((uint64_t)-cure->returned_charge_bytes).text);
    else
        fprintf(page->paragraph, ", the cgroup's charge fell by %s",
                format_bytes((uint64_t)cure->returned_charge_bytes).text);
}

/* "zero-pages: 64 MiB predicted, 64 MiB returned, the cgroup's charge fell by 64 MiB; ..." */
static int print_cure(struct page *page, const struct cure_outcome *cure)
{
    int error = page_begin(page);

    if (error)
        return error;
    fprintf(page->paragraph, "%s: %s predicted", cure->name,
            format_bytes(cure->predicted_rss_bytes).text);
    if (cure->applied) {
        fprintf(page->paragraph, ", %s returned", format_bytes(cure->returned_rss_bytes).text);
        print_charge(page, cure);
    }
    if (cure->huge_pages_split)
        fprintf(page->paragraph, "; %s huge page%s split",
                format_count(cure->huge_pages_split).text,
                cure->huge_pages_split == 1 ? " was" : "s were");
    return page_end(page, TONE_PLAIN, "  ");
}

/* A lower RSS that frees nothing must not look like a success. */
static int print_charge_doubt(struct page *page, const struct cure_outcome *cure)
{
    int64_t missing =
        (int64_t)(cure->returned_rss_bytes - cure->returned_rss_bytes / 100) - CHARGE_SLACK;
    int error;

    if (!cure->applied || !cure->charge_known || cure->returned_charge_bytes >= missing)
        return 0;
    error = page_begin(page);
    if (error)
        return error;
    fputs("the charge fell by less than RSS: others in the cgroup took memory meanwhile, or these "
          "pages are charged elsewhere",
          page->paragraph);
    return page_end(page, TONE_DOUBT, NOTE);
}

static int print_details(struct page *page, const struct cure_outcome *cure)
{
    int error = cure->error ? page_foreign(page, TONE_DOUBT, NOT, cure->reason.text) : 0;

    for (size_t i = 0; error == 0 && i < cure->skipped.count; i++) {
        const struct cure_skip *skip = &cure->skipped.items[i];

        error = page_begin(page);
        if (error)
            return error;
        fprintf(page->paragraph, "%s: ", format_bytes(skip->bytes).text);
        page_name(page, skip->reason.text, WHOLE_TEXT);
        error = page_end(page, TONE_FAINT, LEFT);
    }
    return error ? error : print_charge_doubt(page, cure);
}

static int print_samples(struct page *page, const struct reclamation *r)
{
    const struct cure_sample *last;
    int error;

    if (r->after.count < 2)
        return 0;
    last = &r->after.items[r->after.count - 1];
    error = page_begin(page);
    if (error)
        return error;
    fprintf(page->paragraph, "%s later: RSS %s, %s minor page fault%s taken since",
            format_interval(last->after_ns).text, format_bytes(last->rss_bytes).text,
            format_count(last->minor_faults).text, last->minor_faults == 1 ? "" : "s");
    return page_end(page, TONE_PLAIN, NOTE);
}

static int print_cost(struct page *page, const struct reclamation *r)
{
    int error = page_begin(page);

    if (error)
        return error;
    if (!is_applied(r))
        fputs("nothing was changed; ", page->paragraph);
    if (r->interrupted)
        fputs("interrupted, and ended between two steps; ", page->paragraph);
    if (r->pauses.count == 0)
        fputs("the process was not paused", page->paragraph);
    else
        fprintf(page->paragraph, "the process was paused %u time%s, for %s in all and %s at most",
                r->pauses.count, r->pauses.count == 1 ? "" : "s",
                format_duration(r->pauses.total_ns).text,
                format_duration(r->pauses.longest_ns).text);
    return page_end(page, TONE_FAINT, NOTE);
}

static int print_refills(struct page *page, const struct reclamation *r)
{
    int error;

    if (!r->thp_refills || !is_applied(r) || reclamation_returned(r) == 0)
        return 0;
    error = page_begin(page);
    if (error)
        return error;
    fputs("khugepaged may fill huge pages up again around what the program uses; --watch-for shows "
          "whether it does, and transparent_hugepage/khugepaged/max_ptes_none decides",
          page->paragraph);
    return page_end(page, TONE_FAINT, NOTE);
}

static int print_page(struct page *page, const struct reclamation *r)
{
    int error;

    if (page->style.quiet)
        return print_headline(page, r);
    error = print_title(page, r);
    fputc('\n', page->out);
    if (error == 0)
        error = print_headline(page, r);
    for (size_t i = 0; error == 0 && i < r->cure_count; i++)
        error = print_cure(page, &r->cures[i]);
    fputc('\n', page->out);
    for (size_t i = 0; error == 0 && i < r->cure_count; i++)
        error = print_details(page, &r->cures[i]);
    if (error == 0)
        error = print_samples(page, r);
    if (error == 0)
        error = print_refills(page, r);
    return error ? error : print_cost(page, r);
}

int report_reclaim_text(const struct reclamation *reclamation, FILE *out, struct report_style style)
{
    struct page page = {.style = style, .out = out};
    int error;

    if (page.style.width == 0)
        page.style.width = DEFAULT_WIDTH;
    error = print_page(&page, reclamation);
    if (error == 0 && (fflush(out) || ferror(out)))
        error = -EIO;
    return error;
}
