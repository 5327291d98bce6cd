/* Below the table: why it is so, what would help, what it cost to look, and what could not be told.
 */
#include <string.h>

#include "report/owner-advice.h"
#include "report/page.h"

enum { REFUSALS_TOLD = 8, PAGE_TABLE_SHARE = 20, OWNERS_ADVISED = 3, SETTING_COLUMNS = 60 };

/* Less than this is not worth anybody's time, as in the rules; the table has it all the same. */
enum { LEAST_TOTAL = 1 << 20, TOTAL_SHARE = 50 };

#define WHY     "why:  "
#define HELP    "help: "
#define NOTE    "note: "
#define REFUSAL "refusal: "

/* What residue does is told as the command that does it. */
static void print_cure_name(const struct page *page, const char *name)
{
    static const char *const phrases[][2] = {
        {"malloc-trim", "malloc_trim(0)"},
        {"stale-stacks", "giving stale stack pages back"},
    };

    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (strcmp(phrases[i][0], name) == 0)
            name = phrases[i][1];
    if (strcmp(name, "free-pages") == 0 || strcmp(name, "zero-pages") == 0)
        fprintf(page->paragraph, "residue%creclaim%c%d", HARD_SPACE, HARD_SPACE, (int)page->e->pid);
    else
        page_name(page, name, WHOLE_TEXT);
}

/* Why memory that leaves the resident set may not be free is said once in a paragraph:
 * `*reason_told`. */
static void print_cure(const struct page *page, const struct cure_prediction *cure,
                       bool *reason_told)
{
    const struct column *column = &page->groups.column;

    print_cure_name(page, cure->name);
    if (cure->rss_bytes == 0) {
        fputs(" would return nothing", page->paragraph);
        return;
    }
    fprintf(page->paragraph, " would return %s", column_amount(column, cure->rss_bytes).text);
    if (cure->charge_bytes < cure->rss_bytes) {
        fprintf(page->paragraph, " of RSS but free only %s%s",
                column_amount(column, cure->charge_bytes).text,
                *reason_told ? "" : " (the rest is shared with forks, or part of huge pages)");
        *reason_told = true;
    }
    if (cure->needs_restart)
        fputs(", after a restart", page->paragraph);
}

/* That malloc_trim returns nothing is worth a word where free pages would return something. */
static bool is_told(const struct finding *finding, const struct cure_prediction *cure)
{
    if (cure->rss_bytes)
        return true;
    if (strcmp(cure->name, "malloc-trim") != 0)
        return false;
    for (size_t i = 0; i < finding->cure_count; i++)
        if (strcmp(finding->cures[i].name, "free-pages") == 0)
            return finding->cures[i].rss_bytes > 0;
    return false;
}

static bool helps(const struct finding *finding)
{
    for (size_t i = 0; i < finding->cure_count; i++)
        if (finding->cures[i].rss_bytes)
            return true;
    return false;
}

static int print_cures(struct page *page, const struct finding *finding)
{
    const char *between = "";
    bool reason_told = false;
    int r;

    if (!helps(finding))
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    for (size_t i = 0; i < finding->cure_count; i++) {
        if (!is_told(finding, &finding->cures[i]))
            continue;
        fputs(between, page->paragraph);
        print_cure(page, &finding->cures[i], &reason_told);
        between = "; ";
    }
    return page_end(page, TONE_GOOD, HELP);
}

/* On a line of its own, whole, so that it can be copied. */
static int print_advice(struct page *page, const struct advice *advice)
{
    int r = page_begin(page);

    if (r)
        return r;
    for (const char *c = advice->setting ? advice->setting : ""; *c; c++)
        fputc(*c == ' ' ? HARD_SPACE : *c, page->paragraph);
    fprintf(page->paragraph, "%s%s", advice->setting ? "\n" : "", advice->effect);
    return page_end(page, TONE_GOOD, HELP);
}

static bool was_advised(const struct explanation *e, size_t index, const struct advice *advice)
{
    struct advice_text text;
    struct advice before;

    for (size_t i = 0; i < index; i++)
        if (advice_for(e, &e->findings.items[i], &text, &before) &&
            strcmp(before.setting, advice->setting) == 0)
            return true;
    return false;
}

static int print_finding(struct page *page, size_t index)
{
    const struct finding *finding = &page->e->findings.items[index];
    struct advice_text text;
    struct advice advice;
    int r = page_foreign(page, finding->first ? TONE_DOUBT : TONE_CAUSE, WHY, finding->because);

    if (r == 0)
        r = print_cures(page, finding);
    if (r == 0 && advice_for(page->e, finding, &text, &advice) &&
        !was_advised(page->e, index, &advice))
        r = print_advice(page, &advice);
    return r;
}

/* A setting that does nothing is as good as one that was forgotten. */
static int print_setting(struct page *page, const struct environment_setting *setting)
{
    int r = page_begin(page);

    if (r)
        return r;
    page_name(page, setting->name, WHOLE_TEXT);
    fputc('=', page->paragraph);
    page_name(page, setting->value, SETTING_COLUMNS);
    fputs(" is in the environment and not in force: ", page->paragraph);
    page_name(page, setting->reason, WHOLE_TEXT);
    return page_end(page, TONE_DOUBT, NOTE);
}

static int print_settings(struct page *page)
{
    const struct environment *environment = &page->e->environment;
    int r = 0;

    for (size_t i = 0; r == 0 && i < environment->count; i++)
        if (environment->items[i].in_force == IN_FORCE_NO)
            r = print_setting(page, &environment->items[i]);
    return r;
}

/* What residue cannot give back, since it does not decode it: an owner is advised on once. */
static int print_owner_advice(struct page *page)
{
    const struct unexplained_owners *owners = &page->e->unexplained_by;
    const struct advice *told[OWNERS_ADVISED] = {0};
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < owners->count && count < OWNERS_ADVISED; i++) {
        const struct advice *advice = owner_advice_for(page->e, &owners->items[i]);
        bool again = false;

        for (size_t k = 0; k < count; k++)
            again |= told[k] == advice;
        if (!advice || again || !owner_is_large(page->e, &owners->items[i]))
            continue;
        told[count++] = advice;
        r = print_advice(page, advice);
    }
    return r;
}

static bool reads_as(const struct page *page, uint64_t a, uint64_t b)
{
    const struct column *column = &page->groups.column;

    return strcmp(column_amount(column, a).text, column_amount(column, b).text) == 0;
}

/* Findings are shares; what all of it together comes to is told once, unless a finding has told it.
 */
static bool total_is_told(const struct page *page)
{
    const struct findings *findings = &page->e->findings;
    uint64_t total = page->e->ledger.bytes[ACCOUNT_HEAP_RETURNABLE];

    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];

        for (size_t k = 0; k < finding->cure_count; k++)
            if (strcmp(finding->cures[k].name, "free-pages") == 0 &&
                reads_as(page, finding->cures[k].rss_bytes, total))
                return true;
    }
    return false;
}

static int print_total(struct page *page)
{
    const struct explanation *e = page->e;
    struct arena_tally sum = tally_sum(&e->tally);
    uint64_t returnable = e->ledger.bytes[ACCOUNT_HEAP_RETURNABLE];
    uint64_t shared = sum.in_bins.shared_bytes + sum.in_top.shared_bytes;
    struct cure_prediction discard = {
        .name = "free-pages", .rss_bytes = returnable, .charge_bytes = returnable};
    struct cure_prediction trim = {.name = "malloc-trim",
                                   .rss_bytes = e->trim.rss_bytes,
                                   .charge_bytes = e->trim.charge_bytes};
    bool reason_told = false;
    int r;

    if (!e->decoded || total_is_told(page) || returnable < LEAST_TOTAL ||
        returnable < e->rss.rss_bytes / TOTAL_SHARE)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    discard.charge_bytes -= shared < returnable ? shared : returnable;
    fputs("in all, ", page->paragraph);
    print_cure(page, &discard, &reason_told);
    if (e->trim_known) {
        fputs("; ", page->paragraph);
        print_cure(page, &trim, &reason_told);
    }
    return page_end(page, TONE_GOOD, HELP);
}

static void pause_text(const struct page *page)
{
    const struct target_pauses *pauses = &page->e->pauses;

    if (pauses->count == 0)
        fputs("the process was not paused", page->paragraph);
    else if (pauses->count == 1)
        fprintf(page->paragraph, "the process was paused for %s",
                format_duration(pauses->total_ns).text);
    else
        fprintf(page->paragraph, "the process was paused %u times, for %s in all and %s at most",
                pauses->count, format_duration(pauses->total_ns).text,
                format_duration(pauses->longest_ns).text);
    if (page->e->long_stop.text[0]) {
        fputs(", all that was read inside the pause, because ", page->paragraph);
        page_name(page, page->e->long_stop.text, WHOLE_TEXT);
    }
}

static void movement_text(const struct page *page)
{
    uint64_t moved = page->e->moved_bytes;

    fputs(": these are figures of a moving process, whose RSS ", page->paragraph);
    if (moved)
        fprintf(page->paragraph, "moved by %s meanwhile", format_bytes(moved).text);
    else
        fputs("was the same before and after", page->paragraph);
}

static int print_cost(struct page *page)
{
    int r = page_begin(page);

    if (r)
        return r;
    fputs("nothing was changed; ", page->paragraph);
    pause_text(page);
    if (!page->e->stopped)
        movement_text(page);
    return page_end(page, TONE_FAINT, NOTE);
}

/* What is beside the resident set, as far as it matters. */
static int print_beside(struct page *page)
{
    const struct rss *rss = &page->e->rss;
    const struct {
        uint64_t bytes;
        const char *what;
        bool told;
    } parts[] = {
        {rss->swap_bytes, "in swap", rss->swap_bytes > 0},
        {rss->page_table_bytes, "of page tables",
         rss->page_table_bytes > rss->rss_bytes / PAGE_TABLE_SHARE},
        {rss->hugetlb_bytes, "of hugetlb pages", rss->hugetlb_bytes > 0},
    };
    const char *between = "not in RSS: ";
    int r;

    if (!parts[0].told && !parts[1].told && !parts[2].told)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].told)
            continue;
        fprintf(page->paragraph, "%s%s %s", between, format_bytes(parts[i].bytes).text,
                parts[i].what);
        between = ", ";
    }
    return page_end(page, TONE_FAINT, NOTE);
}

static bool is_found(const struct page *page, const char *id)
{
    for (size_t i = 0; i < page->e->findings.count; i++)
        if (strcmp(page->e->findings.items[i].id, id) == 0)
            return true;
    return false;
}

static int print_lazyfree(struct page *page)
{
    int r;

    if (!page->e->lazyfree_known || page->e->lazyfree_bytes == 0 || is_found(page, "lazily-freed"))
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph,
            "%s of RSS is given up already (MADV_FREE): the kernel takes it when memory is short",
            format_bytes(page->e->lazyfree_bytes).text);
    return page_end(page, TONE_FAINT, NOTE);
}

/* explain() sees to it that the sum is the figure; if it is not, the reader must not have to find
 * out by adding. */
static int print_difference(struct page *page)
{
    uint64_t sum = ledger_sum(&page->e->ledger), rss = page->e->rss.rss_bytes;
    int r;

    if (sum == rss)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph, "the parts add up to %s, while the kernel's figure is %s",
            format_bytes(sum).text, format_bytes(rss).text);
    return page_end(page, TONE_DOUBT, NOTE);
}

static int print_refusal(struct page *page, const struct heap_refusal *refusal)
{
    int r = page_begin(page);

    if (r)
        return r;
    page_name(page, refusal->what, WHOLE_TEXT);
    fputs(": ", page->paragraph);
    page_name(page, refusal->reason.text, WHOLE_TEXT);
    return page_end(page, TONE_DOUBT, REFUSAL);
}

static int print_refusals(struct page *page)
{
    const struct heap_refusals *refusals = &page->e->refusals;
    size_t told = refusals->count > REFUSALS_TOLD && !page->style.arenas ? REFUSALS_TOLD - 1
                                                                         : refusals->count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < told; i++)
        r = print_refusal(page, &refusals->items[i]);
    if (r || told == refusals->count)
        return r;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph, "%s more; --json lists them all",
            format_count(refusals->count - told).text);
    return page_end(page, TONE_DOUBT, REFUSAL);
}

int page_remarks(struct page *page)
{
    static int (*const remarks[])(struct page *) = {
        print_total,      print_owner_advice, print_settings, print_refusals,
        print_difference, print_lazyfree,     print_beside,   print_cost};
    int r = 0;

    for (size_t i = 0; r == 0 && i < page->e->findings.count; i++)
        r = print_finding(page, i);
    for (size_t i = 0; r == 0 && i < sizeof remarks / sizeof remarks[0]; i++)
        r = remarks[i](page);
    return r;
}
