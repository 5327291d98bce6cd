#include <errno.h>

#include "base/range.h"
#include "report/keep.h"
#include "report/page.h"

#define NOTE "note: "
#define HELP "help: "
#define NOT  "not done: "

enum { DEFAULT_WIDTH = 80, COMM_COLUMNS = 60, FORM_COLUMNS = 12 };
#define EXAMPLE_BYTES (UINT64_C(1) << 20)

static int print_title(struct page *page, const struct keeping *k)
{
    int error = page_begin(page);

    if (error)
        return error;
    page_name(page, k->comm, COMM_COLUMNS);
    fprintf(page->paragraph, " %d", k->pid);
    return page_end(page, TONE_PLAIN, "");
}

static const char *headline(const struct keeping *k)
{
    if (k->nothing_to_undo)
        return "Nothing is written down of this process: there is nothing to set back.";
    if (k->undo)
        return k->changed_count ? "What residue keep had changed is set back."
                                : "Nothing had to be set back.";
    if (k->cost.taken_back)
        return k->changed_count ? "A part of it is kept; the thresholds were set back: they cost "
                                  "too much."
                                : "The thresholds were set back: they cost too much.";
    return k->changed_count ? "Changed in the running process:"
                            : "All of it is set already: nothing was changed.";
}

static int say(struct page *page, enum tone tone, const char *label, const char *format, ...)
    printf_like(4, 5);

static int say(struct page *page, enum tone tone, const char *label, const char *format, ...)
{
    va_list arguments;
    int error = page_begin(page);

    if (error)
        return error;
    va_start(arguments, format);
    vfprintf(page->paragraph, format, arguments);
    va_end(arguments);
    return page_end(page, tone, label);
}

static int print_changes(struct page *page, const struct keeping *k)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < k->changed_count; i++) {
        const struct keep_change *change = &k->changed[i];

        error = say(page, TONE_PLAIN, "  ", "%s: %s, was %s", keep_report_name(change->setting),
                    keep_report_value(change->setting, change->after).text,
                    keep_report_value(change->setting, change->before).text);
    }
    return error;
}

static int print_refusals(struct page *page, const struct keeping *k,
                          const struct start_lines *lines)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < k->refusals.count; i++)
        error = page_foreign(page, TONE_DOUBT, NOT, k->refusals.items[i].reason.text);
    if (error == 0 && lines->missing.text[0])
        error = page_foreign(page, TONE_DOUBT,
                             "settings for its start are not known: ", lines->missing.text);
    return error;
}

static bool has_changed(const struct keeping *k, enum keep_setting setting)
{
    for (size_t i = 0; i < k->changed_count; i++)
        if (k->changed[i].setting == setting)
            return true;
    return false;
}

static int print_huge_pages(struct page *page, const struct keeping *k)
{
    int error = 0;

    if (k->undo || (!has_changed(k, KEEP_HUGE_PAGES) && !k->huge_pages_kept))
        return 0;
    if (k->huge_pages_kept)
        error = say(page, TONE_FAINT, NOTE, "huge pages: kept away already");
    else if (k->advised_kept)
        error = say(page, TONE_FAINT, NOTE,
                    "where the program asks for huge pages itself (madvise) it still gets them; "
                    "--huge-pages=none keeps these away, too");
    else if (k->asks_for_huge_pages)
        error = say(page, TONE_FAINT, NOTE,
                    "the program asks for huge pages (madvise), and gets none from now on: it may "
                    "become slower; --huge-pages=advised leaves it those (Linux 6.18)");
    if (error == 0 && k->huge_bytes)
        error = say(page, TONE_FAINT, NOTE,
                    "%s in huge pages is there still; residue reclaim %d gives back what of it "
                    "are zeros",
                    format_bytes(k->huge_bytes).text, k->pid);
    if (error == 0 && !k->huge_pages_kept)
        error = say(page, TONE_FAINT, NOTE,
                    "processes that it starts from now on inherit this, and --undo does not reach "
                    "them");
    return error;
}

static int print_price(struct page *page, const struct keep_cost *cost)
{
    return say(
        page, TONE_FAINT, NOTE,
        "each block of %s or more is now mapped when it is allocated, and unmapped when it "
        "is freed: here that takes %s, and a page fault of %s for each 4 KiB that is used, "
        "%s for 1 MiB in all",
        format_bytes(UINT64_C(128) << 10).text, format_duration(cost->mapping_ns).text,
        format_duration(cost->fault_ns).text,
        format_duration(cost->mapping_ns + cost->fault_ns * EXAMPLE_BYTES / PAGE_BYTES).text);
}

static int print_cost(struct page *page, const struct keeping *k)
{
    const struct keep_cost *cost = &k->cost;
    int error = 0;

    if (!cost->fault_ns)
        return 0;
    if (!cost->taken_back)
        error = print_price(page, cost);
    if (error == 0 && cost->watched_ns)
        error = say(page, cost->taken_back ? TONE_DOUBT : TONE_FAINT, NOTE,
                    "in %s it took %s page faults, some %.1f %% of a processor; before it was "
                    "%.1f %%",
                    format_interval(cost->watched_ns).text, format_count(cost->faults).text,
                    keep_cost_permille(cost) / 10, keep_cost_permille_before(cost) / 10);
    if (error == 0 && cost->taken_back)
        error = say(page, TONE_DOUBT, NOTE,
                    "residue reclaim %d gives free memory back without that price, each time that "
                    "it is run",
                    k->pid);
    return error;
}

static int print_every(struct page *page, const struct keeping *k)
{
    const struct keep_every_totals *every = &k->every;
    int error;

    if (!every->ran_ns)
        return 0;
    error = say(page, TONE_PLAIN, NOTE,
                "in %s memory was looked for %s time%s: %s came back, of which %s was in use again "
                "by the next time; in the end every %s%s",
                format_interval(every->ran_ns).text, format_count(every->rounds).text,
                every->rounds == 1 ? "" : "s", format_bytes(every->returned_bytes).text,
                format_bytes(every->back_bytes).text, format_interval(every->interval_ns).text,
                every->process_ended ? "; the process has ended" : "");
    if (error == 0 && every->failures)
        error = say(page, TONE_DOUBT, NOTE, "%s more times it could not be done",
                    format_count(every->failures).text);
    if (error == 0)
        error = say(page, TONE_FAINT, NOTE, "for that it was paused %u times, for %s at most",
                    every->pauses.count, format_duration(every->pauses.longest_ns).text);
    return error;
}

static int print_pauses(struct page *page, const struct keeping *k)
{
    if (k->pauses.count == 0)
        return say(page, TONE_FAINT, NOTE, "the process was not paused");
    return say(
        page, TONE_FAINT, NOTE, "%sthe process was paused %u time%s, for %s in all and %s at most",
        k->interrupted && !k->every.ran_ns ? "interrupted, what is told is as far as it came; "
                                           : "",
        k->pauses.count, k->pauses.count == 1 ? "" : "s", format_duration(k->pauses.total_ns).text,
        format_duration(k->pauses.longest_ns).text);
}

static int print_line(void *context, const char *line)
{
    struct page *page = context;

    return fprintf(page->out, "    %s\n", line) < 0 ? -EIO : 0;
}

/* As they are to be copied: not wrapped. */
static int print_lines(struct page *page, const struct start_lines *lines)
{
    int error;

    if (lines->count == 0)
        return 0;
    fputc('\n', page->out);
    error = say(page, TONE_PLAIN, "", "What only a restart can set, for its start:");
    for (unsigned form = 0; error == 0 && form < START_FORMS; form++) {
        fprintf(page->out, "  %s\n", start_form_name(form));
        error = start_lines_each(lines, form, print_line, page);
    }
    return error;
}

static int print_page(struct page *page, const struct keeping *k, const struct start_lines *lines)
{
    int error;

    if (page->style.quiet)
        return say(page, TONE_STRONG, "", "%s", headline(k));
    error = print_title(page, k);
    fputc('\n', page->out);
    if (error == 0)
        error = say(page, TONE_STRONG, "", "%s", headline(k));
    if (error == 0)
        error = print_changes(page, k);
    fputc('\n', page->out);
    if (error == 0)
        error = print_refusals(page, k, lines);
    if (error == 0)
        error = print_huge_pages(page, k);
    if (error == 0)
        error = print_cost(page, k);
    if (error == 0)
        error = print_every(page, k);
    if (error == 0)
        error = print_pauses(page, k);
    if (error == 0 && !k->undo && k->changed_count)
        error = say(page, TONE_GOOD, HELP, "residue keep --undo %d sets it back", k->pid);
    return error ? error : print_lines(page, lines);
}

int report_keep_text(const struct keeping *keeping, const struct start_lines *lines, FILE *out,
                     struct report_style style)
{
    struct page page = {.style = style, .out = out};
    int error;

    if (page.style.width == 0)
        page.style.width = DEFAULT_WIDTH;
    error = print_page(&page, keeping, lines);
    if (error == 0 && (fflush(out) || ferror(out)))
        error = -EIO;
    return error;
}
