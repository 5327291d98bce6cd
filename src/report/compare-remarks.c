/* Below the tables: what kind of growth it is, and what else has changed. */
#include <string.h>

#include "report/compare-page.h"

#define WHY     "why:  "
#define NEW     "new:  "
#define GONE    "gone: "
#define NOTE    "note: "
#define REFUSAL "refusal: "

enum { REFUSALS_TOLD = 4, LEAST_PAGE_TABLES = 1 << 20 };

/* Findings that explain why memory that was freed is still there, and where. */
static const struct {
    const char *id;
    enum account account;
} mechanisms[] = {
    {"glibc-dynamic-threshold", ACCOUNT_HEAP_RETURNABLE},
    {"glibc-free-inside-arenas", ACCOUNT_HEAP_RETURNABLE},
    {"glibc-arena-tops", ACCOUNT_HEAP_RETURNABLE},
    {"glibc-many-arenas", ACCOUNT_HEAP_RETURNABLE},
    {"glibc-thread-caches", ACCOUNT_HEAP_CACHED},
    {"glibc-fastbins", ACCOUNT_HEAP_CACHED},
    {"glibc-pinned", ACCOUNT_HEAP_PINNED},
    {"stale-stacks", ACCOUNT_STACK_STALE},
    {"huge-pages-of-zeros", ACCOUNT_ZERO_HUGE},
    {"live-memory", ACCOUNT_HEAP_LIVE},
};

static bool explains(const char *id, unsigned account)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (mechanisms[i].account == account && strcmp(mechanisms[i].id, id) == 0)
            return true;
    return false;
}

static uint64_t growth_of(const struct finding_pair *pair)
{
    uint64_t before = pair->before ? pair->before->bytes : 0;
    uint64_t after = pair->after ? pair->after->bytes : 0;

    return after > before ? after - before : 0;
}

/* Of the account that grew most: the finding of it that grew most. NULL: none did. */
static const struct finding_pair *mechanism_of_growth(const struct compare_page *p)
{
    const struct finding_pair *most = NULL;

    if (p->leading == p->rows.changes.count ||
        p->rows.changes.after[p->leading] < p->rows.changes.before[p->leading])
        return NULL;
    for (size_t i = 0; i < p->c->findings.count; i++) {
        const struct finding_pair *pair = &p->c->findings.items[i];

        if (growth_of(pair) && explains(pair->after->id, p->rows.rows[p->leading].account) &&
            (!most || growth_of(pair) > growth_of(most)))
            most = pair;
    }
    return most;
}

static const char *growth_sentence(unsigned account)
{
    switch (account) {
    case ACCOUNT_HEAP_RETURNABLE:
        return "what grew most was freed by the program: the allocator keeps it";
    case ACCOUNT_HEAP_CACHED:
        return "what grew most was freed by the program and waits in the threads' caches and in "
               "fastbins";
    case ACCOUNT_HEAP_PINNED:
        return "what grew most was freed by the program and shares its pages with blocks in use: "
               "fragmentation";
    case ACCOUNT_STACK_STALE:
        return "what grew most lies below the stack pointers: threads have used deeper stacks "
               "since";
    case ACCOUNT_ZERO_HUGE:
        return "what grew most was never written to, or was cleared: huge pages bring it in";
    }
    return NULL;
}

/* By how much one figure exceeds the other; 0 if it does not, or where one is not known. */
static uint64_t rise(struct amount before, struct amount after)
{
    return before.known && after.known && after.value > before.value ? after.value - before.value
                                                                     : 0;
}

/* Of each block that is new, on average. */
static void tell_average(const struct compare_page *p, uint64_t blocks, uint64_t bytes)
{
    if (bytes)
        fprintf(p->page.paragraph, " of %s on average", format_bytes(bytes / blocks).text);
}

static uint64_t class_growth(const struct class_pair *pair)
{
    uint64_t before = pair->before ? pair->before->bytes : 0;
    uint64_t after = pair->after ? pair->after->bytes : 0;

    return after > before ? after - before : 0;
}

/* The size of which most bytes are new. */
static void tell_size(const struct compare_page *p)
{
    const struct class_pair *most = NULL;
    uint64_t blocks, before;

    for (size_t i = 0; i < p->c->classes.count; i++)
        if (class_growth(&p->c->classes.items[i]) > (most ? class_growth(most) : 0))
            most = &p->c->classes.items[i];
    if (!most)
        return;
    blocks = most->after->blocks;
    before = most->before ? most->before->blocks : 0;
    fprintf(p->page.paragraph, "; by size, chunks from %s on grew most: ",
            format_bytes(most->after->least_bytes).text);
    if (blocks > before)
        fprintf(p->page.paragraph, "%s more, ", format_count(blocks - before).text);
    fprintf(p->page.paragraph, "%s", format_bytes(class_growth(most)).text);
}

static void tell_live(const struct compare_page *p)
{
    struct amount blocks_before = snapshot_live_blocks(p->c->before);
    struct amount blocks_after = snapshot_live_blocks(p->c->after);
    struct amount bytes_before = snapshot_live_bytes(p->c->before);
    struct amount bytes_after = snapshot_live_bytes(p->c->after);
    uint64_t blocks = rise(blocks_before, blocks_after), bytes = rise(bytes_before, bytes_after);
    uint64_t resident = p->rows.changes.after[p->leading] - p->rows.changes.before[p->leading];
    const char *own = p->c->relation == RELATION_SAME
                          ? "this looks like its own growth, a leak or a cache that fills"
                          : "this looks like its own memory, not the allocator's";

    if (!blocks_before.known || !blocks_after.known || !bytes_before.known || !bytes_after.known) {
        fprintf(p->page.paragraph, "the program holds more: %s", own);
    } else if (bytes < resident / 2) {
        fputs("most of it lies in blocks that the program had taken before and has written to "
              "since",
              p->page.paragraph);
    } else if (blocks) {
        fprintf(p->page.paragraph, "the program holds %s more blocks", format_count(blocks).text);
        tell_average(p, blocks, bytes);
        fprintf(p->page.paragraph, " (%s, %s before): %s", format_count(blocks_after.value).text,
                format_count(blocks_before.value).text, own);
        tell_size(p);
    } else {
        fprintf(p->page.paragraph,
                "the program holds no more blocks (%s, %s before), but larger ones: %s",
                format_count(blocks_after.value).text, format_count(blocks_before.value).text, own);
        tell_size(p);
    }
}

static int print_cause(struct compare_page *p)
{
    const struct finding_pair *mechanism = mechanism_of_growth(p);
    size_t row = p->leading;
    unsigned account;
    int r;

    if (row == p->rows.changes.count || p->rows.changes.after[row] < p->rows.changes.before[row])
        return 0;
    account = p->rows.rows[row].account;
    if (account != ACCOUNT_HEAP_LIVE && !growth_sentence(account))
        return 0;
    r = page_begin(&p->page);
    if (r)
        return r;
    if (account == ACCOUNT_HEAP_LIVE)
        tell_live(p);
    else
        fputs(growth_sentence(account), p->page.paragraph);
    if (mechanism && account != ACCOUNT_HEAP_LIVE) { /* which has no more to say */
        fputs(": ", p->page.paragraph);
        page_name(&p->page, mechanism->after->because, WHOLE_TEXT);
    }
    return page_end(&p->page, TONE_CAUSE, WHY);
}

static int print_findings(struct compare_page *p)
{
    const struct finding_pair *told = mechanism_of_growth(p);
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->c->findings.count; i++) {
        const struct finding_pair *pair = &p->c->findings.items[i];

        if (pair == told)
            continue;
        if (!pair->before)
            r = page_foreign(&p->page, TONE_CAUSE, NEW, pair->after->because);
        else if (!pair->after)
            r = page_foreign(&p->page, TONE_GOOD, GONE, pair->before->because);
    }
    return r;
}

/* Thresholds are amounts, but "never" is one, too. */
static void tell_setting(const struct compare_page *p, enum snapshot_setting setting,
                         struct amount value)
{
    if (!value.known)
        fputs("not known", p->page.paragraph);
    else if (setting == SETTING_DYNAMIC_THRESHOLD)
        fputs(value.value ? "on" : "off", p->page.paragraph);
    else if (setting == SETTING_ARENA_MAX && value.value == 0)
        fputs("not set", p->page.paragraph);
    else if (setting == SETTING_ARENA_MAX)
        fputs(format_count(value.value).text, p->page.paragraph);
    else
        fputs(value.value == INT64_MAX ? "never" : format_bytes(value.value).text,
              p->page.paragraph);
}

static bool is_alike(struct amount a, struct amount b)
{
    return a.known == b.known && a.value == b.value;
}

static int print_settings(struct compare_page *p)
{
    static const char *const names[SETTING_COUNT] = {
        [SETTING_MMAP_THRESHOLD] = "the mmap threshold",
        [SETTING_TRIM_THRESHOLD] = "the trim threshold",
        [SETTING_DYNAMIC_THRESHOLD] = "the dynamic mmap threshold",
        [SETTING_ARENA_MAX] = "the limit of arenas",
    };
    const struct amount *before = p->c->before->settings, *after = p->c->after->settings;
    const char *between = "";
    int r = 0;

    for (unsigned i = 0; r == 0 && i < SETTING_COUNT; i++) {
        if (is_alike(before[i], after[i]))
            continue;
        if (!p->page.paragraph)
            r = page_begin(&p->page);
        if (r)
            return r;
        fprintf(p->page.paragraph, "%s%s is ", between, names[i]);
        tell_setting(p, i, after[i]);
        fputs(", was ", p->page.paragraph);
        tell_setting(p, i, before[i]);
        between = "; ";
    }
    return p->page.paragraph ? page_end(&p->page, TONE_FAINT, NOTE) : r;
}

static int print_huge_page_setting(struct compare_page *p)
{
    const char *before = p->c->before->thp, *after = p->c->after->thp;
    int r;

    if (!before || !after || strcmp(before, after) == 0)
        return 0;
    r = page_begin(&p->page);
    if (r)
        return r;
    fputs("transparent huge pages are set to ", p->page.paragraph);
    page_name(&p->page, after, WHOLE_TEXT);
    fputs(", were to ", p->page.paragraph);
    page_name(&p->page, before, WHOLE_TEXT);
    return page_end(&p->page, TONE_FAINT, NOTE);
}

/* Page tables follow RSS, so that they change nearly always. */
static bool is_worth_telling(enum snapshot_figure figure, struct amount before, struct amount after)
{
    uint64_t change =
        before.value > after.value ? before.value - after.value : after.value - before.value;

    return change >= (figure == FIGURE_PAGE_TABLES ? LEAST_PAGE_TABLES : 1);
}

/* What is not in RSS, or will leave it. */
static int print_beside(struct compare_page *p)
{
    static const struct {
        enum snapshot_figure figure;
        const char *what;
    } parts[] = {{FIGURE_SWAP, "in swap"},
                 {FIGURE_HUGETLB, "of hugetlb pages"},
                 {FIGURE_PAGE_TABLES, "of page tables"},
                 {FIGURE_LAZYFREE, "given up (MADV_FREE)"}};
    const char *between = "";
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof parts / sizeof parts[0]; i++) {
        struct amount before = p->c->before->figures[parts[i].figure];
        struct amount after = p->c->after->figures[parts[i].figure];

        if (!before.known || !after.known || !is_worth_telling(parts[i].figure, before, after))
            continue;
        if (!p->page.paragraph)
            r = page_begin(&p->page);
        if (r)
            return r;
        fprintf(p->page.paragraph, "%s%s %s, %s before", between, format_bytes(after.value).text,
                parts[i].what, format_bytes(before.value).text);
        between = "; ";
    }
    return p->page.paragraph ? page_end(&p->page, TONE_FAINT, NOTE) : r;
}

static int print_relation(struct compare_page *p)
{
    static const char *const sentences[] = {
        [RELATION_EXECUTED] =
            "the process has executed a program since: of the memory of before nothing is left, "
            "and arenas cannot be compared",
        [RELATION_OTHER] = "these are two processes: arenas cannot be compared",
        [RELATION_UNKNOWN] = "both have one process id, but whether it is one process cannot be "
                             "told, so arenas are not compared: the report was made without "
                             "boot_id and start_time_ticks",
    };
    int r;

    if (p->c->relation == RELATION_SAME)
        return 0;
    r = page_begin(&p->page);
    if (r)
        return r;
    fputs(sentences[p->c->relation], p->page.paragraph);
    return page_end(&p->page, TONE_DOUBT, NOTE);
}

static int print_refusals(struct compare_page *p, const struct snapshot *s, const char *when)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->refusals.count && i < REFUSALS_TOLD; i++) {
        r = page_begin(&p->page);
        if (r)
            return r;
        fprintf(p->page.paragraph, "%s, ", when);
        page_name(&p->page, s->refusals.items[i].what, WHOLE_TEXT);
        fputs(": ", p->page.paragraph);
        page_name(&p->page, s->refusals.items[i].reason, WHOLE_TEXT);
        r = page_end(&p->page, TONE_DOUBT, REFUSAL);
    }
    if (r || s->refusals.count <= REFUSALS_TOLD)
        return r;
    r = page_begin(&p->page);
    if (r)
        return r;
    fprintf(p->page.paragraph, "%s, %s more; --json lists them all", when,
            format_count(s->refusals.count - REFUSALS_TOLD).text);
    return page_end(&p->page, TONE_DOUBT, REFUSAL);
}

/* What moved while it was looked at is in the differences. */
static int print_movement(struct compare_page *p)
{
    bool before = p->c->before->stopped, after = p->c->after->stopped;
    int r;

    if (before && after)
        return 0;
    r = page_begin(&p->page);
    if (r)
        return r;
    fprintf(p->page.paragraph, "%s: figures of a moving process, and differences are no better",
            before  ? "it was not paused for the later look"
            : after ? "it was not paused for the earlier look"
                    : "it was paused for neither look");
    return page_end(&p->page, TONE_DOUBT, NOTE);
}

static int print_cost(struct compare_page *p)
{
    const struct target_pauses *pauses = p->report->pauses;
    int r;

    if (!pauses)
        return 0;
    r = page_begin(&p->page);
    if (r)
        return r;
    if (pauses->count)
        fprintf(p->page.paragraph, "nothing was changed; the process was paused for %s%s",
                format_duration(pauses->total_ns).text, pauses->count == 1 ? "" : " in all");
    else
        fputs("nothing was changed; the process was not paused", p->page.paragraph);
    return page_end(&p->page, TONE_FAINT, NOTE);
}

int compare_print_remarks(struct compare_page *page)
{
    static int (*const remarks[])(struct compare_page *) = {
        print_cause,  print_findings, print_relation, print_settings, print_huge_page_setting,
        print_beside, print_movement};
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof remarks / sizeof remarks[0]; i++)
        r = remarks[i](page);
    if (r == 0)
        r = print_refusals(page, page->c->before, "before");
    if (r == 0)
        r = print_refusals(page, page->c->after, page->later);
    return r ? r : print_cost(page);
}
