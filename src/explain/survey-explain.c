/* Which processes are worth a look inside, and what it says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "explain/survey-internal.h"
#include "heap/recognise.h"

/* Whether glibc's malloc serves it, as far as its images tell. OUTCOME_NOT_FOUND with the reason
 * when not. */
static int judge(const struct owners *owners, struct why *why)
{
    if (owners->glibc == GLIBC_USED || owners->glibc == GLIBC_MAYBE)
        return 0;
    if (owners->glibc == GLIBC_UNUSED && owners->count)
        return why_set(why, OUTCOME_NOT_FOUND, "its malloc is %s, which is not decoded",
                       owners->items[0].name);
    return why_set(why, OUTCOME_NOT_FOUND, "it has no malloc of glibc's");
}

/* From files and mappings alone: nothing is stopped for a process that no decoder serves. */
static int has_decoder(const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct maps maps = {0};
    struct elf_images images = {0};
    struct owners owners = {0};
    int r = maps_read(procfs, pid, &maps, why);

    if (r)
        return r;
    r = elf_images_open(procfs, pid, &maps, NULL, &images, why);
    if (r == 0)
        r = allocators_recognise(&images, NULL, (struct recognitions){0}, &owners);
    if (r == 0)
        r = judge(&owners, why);
    owners_free(&owners);
    elf_images_close(&images);
    maps_free(&maps);
    return r;
}

static uint64_t shared_bytes(const struct arena_tally *tally)
{
    return tally->in_bins.shared_bytes + tally->in_top.shared_bytes;
}

/* As the cures give it back: whole free pages, and pages of zeros, wherever they are. */
static void take_returnable(struct survey_process *process)
{
    const struct explanation *e = process->explanation;
    struct arena_tally arenas = tally_sum(&e->tally);
    uint64_t shared = shared_bytes(&arenas) + shared_bytes(&e->tally.mmapped);

    process->returnable_bytes = e->ledger.bytes[ACCOUNT_HEAP_RETURNABLE] +
                                e->ledger.bytes[ACCOUNT_ZERO_HUGE] +
                                e->ledger.bytes[ACCOUNT_ZERO_SMALL] + e->heap_live_zero_bytes;
    process->returnable_charge_bytes =
        process->returnable_bytes > shared ? process->returnable_bytes - shared : 0;
}

static int keep_reason(struct survey_process *process, const struct why *why)
{
    process->reason = strdup(why->text);
    return process->reason ? 0 : -ENOMEM;
}

static int explain_one(const struct procfs *procfs, const struct survey_options *options,
                       struct survey_process *process)
{
    struct explanation *explanation = malloc(sizeof *explanation);
    struct why why = {0};
    int r;

    if (!explanation)
        return -ENOMEM;
    r = explain(procfs, process->pid, &options->explain, explanation, &why);
    if (r) {
        free(explanation);
        return r == -ENOMEM || r == -ESRCH ? r : keep_reason(process, &why);
    }
    process->explanation = explanation;
    take_returnable(process);
    return 0;
}

static void add_amounts(struct survey_amounts *sum, const struct survey_amounts *amounts)
{
    sum->rss_bytes += amounts->rss_bytes;
    sum->anon_bytes += amounts->anon_bytes;
    sum->file_bytes += amounts->file_bytes;
    sum->shmem_bytes += amounts->shmem_bytes;
    sum->swap_bytes += amounts->swap_bytes;
}

static void add_to_sums(struct survey *survey, const struct survey_process *process)
{
    const struct explanation *e = process->explanation;

    add_amounts(&survey->sum, &process->amounts);
    if (!e)
        return;
    survey->explained++;
    survey->decoded += e->decoded;
    survey->returnable_bytes += process->returnable_bytes;
    survey->returnable_charge_bytes += process->returnable_charge_bytes;
    survey->pauses.count += e->pauses.count;
    survey->pauses.total_ns += e->pauses.total_ns;
    if (e->pauses.longest_ns > survey->pauses.longest_ns)
        survey->pauses.longest_ns = e->pauses.longest_ns;
}

/* Left out of the list by whoever sorts it. */
static void mark_gone(struct survey_process *process)
{
    process->pid = 0;
}

/* How many were looked into, and how many of these were decoded. */
struct progress_so_far {
    size_t tried, decoded;
};

static int consider(const struct procfs *procfs, const struct survey_options *options,
                    struct survey_process *process, struct progress_so_far *so_far)
{
    struct why why = {0};
    int r;

    if (process->pid == 1) {
        why_set(&why, 0, "process 1 is looked into only when it is named: residue why 1");
        return keep_reason(process, &why);
    }
    r = has_decoder(procfs, process->pid, &why);
    if (r > 0 || (r < 0 && r != -ESRCH && r != -ENOMEM))
        return keep_reason(process, &why);
    if (r == 0 && options->next)
        options->next(options->context, so_far->decoded + 1, options->top, process);
    if (r == 0) {
        so_far->tried++;
        r = explain_one(procfs, options, process);
    }
    if (r == -ESRCH) {
        mark_gone(process);
        return 0;
    }
    so_far->decoded += process->explanation && process->explanation->decoded;
    return r;
}

static int by_anonymous(const void *a, const void *b)
{
    const struct survey_process *x = a, *y = b;

    if (x->amounts.anon_bytes != y->amounts.anon_bytes)
        return x->amounts.anon_bytes < y->amounts.anon_bytes ? 1 : -1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static int by_returnable(const void *a, const void *b)
{
    const struct survey_process *x = a, *y = b;

    if (!x->explanation != !y->explanation)
        return x->explanation ? -1 : 1;
    if (x->returnable_bytes != y->returnable_bytes)
        return x->returnable_bytes < y->returnable_bytes ? 1 : -1;
    return by_anonymous(a, b);
}

static void sort(struct survey_processes *processes, int (*compare)(const void *, const void *))
{
    if (processes->count)
        qsort(processes->items, processes->count, sizeof *processes->items, compare);
}

static void drop_gone(struct survey_processes *processes)
{
    size_t kept = 0;

    for (size_t i = 0; i < processes->count; i++) {
        if (processes->items[i].pid)
            processes->items[kept++] = processes->items[i];
        else
            survey_process_free(&processes->items[i]);
    }
    processes->count = kept;
}

int survey_explain(const struct procfs *procfs, const struct survey_options *options,
                   struct survey *survey)
{
    struct survey_processes *processes = &survey->processes;
    struct progress_so_far so_far = {0};

    sort(processes, by_anonymous);
    /* That a heap cannot be decoded may turn out only once its process is stopped: some stops more
     * are made for it. */
    for (size_t i = 0;
         i < processes->count && so_far.decoded < options->top && so_far.tried / 2 < options->top;
         i++) {
        int r = consider(procfs, options, &processes->items[i], &so_far);

        if (r < 0)
            return r;
    }
    drop_gone(processes);
    sort(processes, by_returnable);
    for (size_t i = 0; i < processes->count; i++)
        add_to_sums(survey, &processes->items[i]);
    return 0;
}
