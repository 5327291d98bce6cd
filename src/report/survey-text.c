#include "report/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/foreign.h"
#include "report/page.h"

enum {
    DEFAULT_WIDTH = 80,
    COMM_COLUMNS = 20,
    PATH_COLUMNS = 60,
    WORTH_A_SHARE = 50, /* of the charge: less is not worth a note */
    REASONS_MOST = 10,  /* of processes that could not be looked into; JSON has them all */
};

enum cell {
    CELL_PID,
    CELL_NAME,
    CELL_CONTAINER,
    CELL_RSS,
    CELL_ANON,
    CELL_SWAP,
    CELL_BACK,
    CELL_HEAP,
    CELLS
};

static const struct {
    const char *title;
    bool right;
} cells[CELLS] = {
    [CELL_PID] = {"PID", true},
    [CELL_NAME] = {"name", false},
    [CELL_CONTAINER] = {"container", false},
    [CELL_RSS] = {"RSS", true},
    [CELL_ANON] = {"anonymous", true},
    [CELL_SWAP] = {"swap", true},
    [CELL_BACK] = {"can go back", true},
    [CELL_HEAP] = {"heap", false},
};

struct rows {
    const struct survey *survey;
    char *(*items)[CELLS]; /* the first are the titles; NULL for what is left out */
    size_t count;
    size_t columns[CELLS];
};

static const char *plural(size_t count)
{
    return count == 1 ? "" : "es";
}

static void print_heap(const struct page *page, const struct survey_process *process)
{
    const struct explanation *e = process->explanation;

    if (!e)
        return;
    if (!e->allocator) {
        fputs("not recognised", page->paragraph);
        return;
    }
    page_name(page, e->allocator, COMM_COLUMNS);
    if (e->allocator_version[0]) {
        fputc(' ', page->paragraph);
        page_name(page, e->allocator_version, COMM_COLUMNS);
    }
    if (!e->decoded)
        fputs(" (not decoded)", page->paragraph);
}

static void print_cell(const struct page *page, const struct survey_process *p, enum cell cell)
{
    FILE *out = page->paragraph;

    switch (cell) {
    case CELL_PID:
        fprintf(out, "%d", p->pid);
        break;
    case CELL_NAME:
        page_name(page, p->comm, COMM_COLUMNS);
        break;
    case CELL_CONTAINER:
        if (p->container)
            page_container(page, p->container);
        break;
    case CELL_RSS:
        fputs(format_bytes(p->amounts.rss_bytes).text, out);
        break;
    case CELL_ANON:
        fputs(format_bytes(p->amounts.anon_bytes).text, out);
        break;
    case CELL_SWAP:
        fputs(format_bytes(p->amounts.swap_bytes).text, out);
        break;
    case CELL_BACK:
        fputs(survey_returnable_known(p) ? format_bytes(p->returnable_bytes).text : "-", out);
        break;
    case CELL_HEAP:
        print_heap(page, p);
        break;
    case CELLS:
        break;
    }
}

/* A column that would be empty for all is left out. */
static bool has_cell(const struct survey *survey, enum cell cell)
{
    for (size_t i = 0; i < survey->processes.count; i++) {
        const struct survey_process *process = &survey->processes.items[i];

        if ((cell == CELL_CONTAINER && process->container) ||
            (cell == CELL_SWAP && process->amounts.swap_bytes) ||
            (cell == CELL_HEAP && process->explanation))
            return true;
    }
    return cell != CELL_CONTAINER && cell != CELL_SWAP && cell != CELL_HEAP;
}

static int make_cell(struct page *page, struct rows *rows, size_t row, enum cell cell)
{
    char **text = &rows->items[row][cell];
    size_t columns;
    int r;

    if (!has_cell(rows->survey, cell))
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    if (row == 0)
        fputs(cells[cell].title, page->paragraph);
    else
        print_cell(page, &rows->survey->processes.items[row - 1], cell);
    if (fclose(page->paragraph)) {
        free(page->text);
        return -ENOMEM;
    }
    *text = page->text;
    columns = utf8_columns(*text);
    if (columns > rows->columns[cell])
        rows->columns[cell] = columns;
    return 0;
}

static void print_row(const struct page *page, const struct rows *rows, size_t row)
{
    size_t gap = 2; /* blanks owed: none are printed at a line's end */

    if (row == 0)
        page_tone(page, TONE_FAINT);
    for (size_t i = 0; i < CELLS; i++) {
        const char *text = rows->items[row][i];
        size_t blanks = text ? rows->columns[i] - utf8_columns(text) : 0;

        if (!text)
            continue;
        if (*text) {
            fprintf(page->out, "%*s%s", (int)(gap + (cells[i].right ? blanks : 0)), "", text);
            gap = 2 + (cells[i].right ? 0 : blanks);
        } else {
            gap += 2 + blanks;
        }
    }
    if (row == 0)
        page_tone(page, TONE_PLAIN);
    fputc('\n', page->out);
}

static int print_table(struct page *page, const struct survey *survey)
{
    struct rows rows = {.survey = survey, .count = survey->processes.count + 1};
    int r = 0;

    if (survey->processes.count == 0)
        return 0;
    rows.items = calloc(rows.count, sizeof *rows.items);
    if (!rows.items)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        for (enum cell cell = 0; r == 0 && cell < CELLS; cell++)
            r = make_cell(page, &rows, i, cell);
    for (size_t i = 0; i < rows.count; i++) {
        if (r == 0)
            print_row(page, &rows, i);
        for (size_t k = 0; k < CELLS; k++)
            free(rows.items[i][k]);
    }
    free(rows.items);
    return r;
}

/* "cgroup /a/b · 1.90 of 2.00 GiB, 102 MiB to the limit" */
static int print_title(struct page *page, const struct survey *survey)
{
    const struct cgroup_memory *memory = &survey->usage.memory;
    int r;

    if (!survey->of_cgroup)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fputs("cgroup ", page->paragraph);
    page_name(page, survey->place.path, PATH_COLUMNS);
    if (memory->charge_known)
        fprintf(page->paragraph, "%s%s", page->style.utf8 ? " · " : " - ",
                memory->limit_bytes == CGROUP_NO_LIMIT
                    ? format_bytes(memory->charge_bytes).text
                    : format_bytes_of(memory->charge_bytes, memory->limit_bytes).text);
    if (memory->room_known)
        fprintf(page->paragraph, ", %s to the limit", format_bytes(memory->room_bytes).text);
    r = page_end(page, TONE_PLAIN, "");
    fputc('\n', page->out);
    return r;
}

static void headline_of_cgroup(const struct page *page, const struct survey *survey)
{
    const struct cgroup_memory *memory = &survey->usage.memory;

    fprintf(page->paragraph, "%s of the %s charged can go back now",
            format_bytes(survey->returnable_charge_bytes).text,
            format_bytes(memory->charge_bytes).text);
    if (memory->room_known)
        fprintf(page->paragraph, "; that would leave %s to the limit",
                format_bytes(survey_room_after(survey)).text);
}

static void headline_returnable(const struct page *page, const struct survey *survey)
{
    fputs(": ", page->paragraph);
    if (survey->explained == 0)
        fputs("no heap was looked into", page->paragraph);
    else if (survey->decoded == 0 && survey->returnable_bytes == 0)
        fputs("no heap could be decoded", page->paragraph);
    else if (survey->of_cgroup && survey->usage.memory.charge_known && !survey->charge_is_ancestors)
        headline_of_cgroup(page, survey);
    else
        fprintf(page->paragraph, "%s can go back now", format_bytes(survey->returnable_bytes).text);
    if (survey->explained && survey->explained < survey->processes.count)
        fprintf(page->paragraph, " (%zu of them %s looked into)", survey->explained,
                survey->explained == 1 ? "was" : "were");
}

static int print_headline(struct page *page, const struct survey *survey)
{
    int r = page_begin(page);

    if (r)
        return r;
    if (survey->processes.count == 0) {
        fputs("no process is there to be looked at", page->paragraph);
    } else {
        fprintf(page->paragraph, "RSS %s in %zu process%s",
                format_bytes(survey->sum.rss_bytes).text, survey->processes.count,
                plural(survey->processes.count));
        headline_returnable(page, survey);
    }
    fputc('.', page->paragraph);
    return page_end(page, TONE_STRONG, "");
}

static bool is_worth_a_note(const struct survey *survey, uint64_t bytes)
{
    return survey->of_cgroup && survey->usage.parts_known && bytes > 0 &&
           bytes >= survey->usage.memory.charge_bytes / WORTH_A_SHARE;
}

static int note_charge(struct page *page, const struct survey *survey)
{
    const struct cgroup_usage *usage = &survey->usage;
    int r;

    if (!is_worth_a_note(survey, survey->unmapped_bytes))
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph,
            "%s of the charge is in nobody's RSS: ", format_bytes(survey->unmapped_bytes).text);
    if (usage->kernel_known)
        fprintf(page->paragraph, "the kernel's own %s, and ",
                format_bytes(usage->kernel_bytes).text);
    fprintf(page->paragraph, "files and shared memory that is not mapped %s",
            format_bytes(survey->unmapped_bytes - usage->kernel_bytes).text);
    return page_end(page, TONE_PLAIN, "note: ");
}

static int note_unnamed(struct page *page, const struct survey *survey)
{
    int r;

    if (!is_worth_a_note(survey, survey->unnamed_bytes))
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fprintf(page->paragraph,
            "what %s of the charge is, the kernel does not tell: its statistics lag behind, or "
            "huge pages are mapped in part",
            format_bytes(survey->unnamed_bytes).text);
    return page_end(page, TONE_PLAIN, "note: ");
}

static int note_ancestor(struct page *page, const struct survey *survey)
{
    int r;

    if (!survey->charge_is_ancestors)
        return 0;
    r = page_begin(page);
    if (r)
        return r;
    fputs("memory is not counted for this cgroup alone; charge and limit are those of ",
          page->paragraph);
    page_name(page, survey->usage.memory.charge_path, WHOLE_TEXT);
    return page_end(page, TONE_PLAIN, "note: ");
}

static int note_unread(struct page *page, const struct survey_unread *unread)
{
    int r = page_begin(page);

    if (r)
        return r;
    fprintf(page->paragraph, "%zu process%s", unread->count, plural(unread->count));
    if (unread->who[0])
        fprintf(page->paragraph, " %s", unread->who);
    if (unread->rss_bytes)
        fprintf(page->paragraph, " (RSS %s)", format_bytes(unread->rss_bytes).text);
    fputs(" could not be looked at: ", page->paragraph);
    page_name(page, unread->reason.text, WHOLE_TEXT);
    return page_end(page, TONE_DOUBT, "note: ");
}

static int note_reason(struct page *page, const struct survey_process *process)
{
    int r = page_begin(page);

    if (r)
        return r;
    fprintf(page->paragraph, "%d ", process->pid);
    page_name(page, process->comm, COMM_COLUMNS);
    fputs(": ", page->paragraph);
    if (process->reason)
        page_name(page, process->reason, WHOLE_TEXT);
    else
        fprintf(page->paragraph, "not all of it could be told; residue why %d says what",
                process->pid);
    return page_end(page, TONE_PLAIN, "note: ");
}

/* What is refused only for want of a stop is told once, for all. */
static bool is_partial(const struct survey_process *process)
{
    const struct explanation *e = process->explanation;

    return e && e->stopped && e->refusals.count;
}

static int note_reasons(struct page *page, const struct survey *survey)
{
    size_t told = 0, left = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->processes.count; i++) {
        const struct survey_process *process = &survey->processes.items[i];

        if (!process->reason && !is_partial(process))
            continue;
        if (told++ < REASONS_MOST)
            r = note_reason(page, process);
        else
            left++;
    }
    if (r == 0 && left)
        fprintf(page->out, "note: %zu more; --json has them all\n", left);
    return r;
}

static int note_sharers(struct page *page, const struct survey_process *process)
{
    int r = page_begin(page);

    if (r)
        return r;
    fprintf(page->paragraph, "%d", process->sharers[0]);
    for (size_t i = 1; i < process->sharer_count; i++)
        fprintf(page->paragraph, ", %d", process->sharers[i]);
    fprintf(page->paragraph, ": the very memory of %d", process->pid);
    return page_end(page, TONE_PLAIN, "note: ");
}

static int note_costs(struct page *page, const struct survey *survey)
{
    int r = page_begin(page);

    if (r)
        return r;
    if (survey->processes.count > 1)
        fputs("what processes share is in the RSS of each; ", page->paragraph);
    if (survey->pauses.count == 0)
        fputs("nothing was changed, and no process was paused", page->paragraph);
    else
        fprintf(page->paragraph, "nothing was changed; %zu process%s %s paused, for %s at most",
                survey->explained, plural(survey->explained),
                survey->explained == 1 ? "was" : "were",
                format_duration(survey->pauses.longest_ns).text);
    return page_end(page, TONE_PLAIN, "note: ");
}

static int print_notes(struct page *page, const struct survey *survey)
{
    int r = note_ancestor(page, survey);

    if (r == 0)
        r = note_charge(page, survey);
    if (r == 0)
        r = note_unnamed(page, survey);
    for (size_t i = 0; r == 0 && i < survey->unread.count; i++)
        r = note_unread(page, &survey->unread.items[i]);
    if (r == 0)
        r = note_reasons(page, survey);
    for (size_t i = 0; r == 0 && i < survey->processes.count; i++)
        if (survey->processes.items[i].sharer_count)
            r = note_sharers(page, &survey->processes.items[i]);
    return r ? r : note_costs(page, survey);
}

static int print_page(struct page *page, const struct survey *survey)
{
    int r;

    if (page->style.quiet)
        return print_headline(page, survey);
    r = print_title(page, survey);
    if (r == 0)
        r = print_headline(page, survey);
    if (r == 0)
        r = print_table(page, survey);
    fputc('\n', page->out);
    return r ? r : print_notes(page, survey);
}

int report_survey_text(const struct survey *survey, FILE *out, struct report_style style)
{
    struct page page = {.style = style, .out = out};
    int r;

    if (page.style.width == 0)
        page.style.width = DEFAULT_WIDTH;
    r = print_page(&page, survey);
    if (r == 0 && (fflush(out) || ferror(out)))
        r = -EIO;
    return r;
}
