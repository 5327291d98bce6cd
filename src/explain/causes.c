/* What is known of a process, put before the rules. */
#include <string.h>

#include "explain/look.h"

static bool is_of_heap(const char *what)
{
    return strncmp(what, "glibc", 5) == 0 || strncmp(what, "mmapped chunk", 13) == 0;
}

/* Refusals of a heap that was decoded concern parts of it; else glibc's is the one of all. */
static struct refused_heap refused_heap_of(const struct explanation *out)
{
    struct refused_heap refused = {.all = !out->decoded};

    if (!out->allocator || strcmp(out->allocator, "glibc") != 0)
        return refused;
    for (size_t i = 0; i < out->refusals.count; i++) {
        const struct heap_refusal *refusal = &out->refusals.items[i];

        if (!is_of_heap(refusal->what))
            continue;
        if (refused.count++ == 0) {
            refused.what = refusal->what;
            refused.reason = refusal->reason.text;
        }
    }
    return refused;
}

static struct ended_stacks ended_stacks_of(const struct look *look)
{
    struct ended_stacks ended = {.stale_bytes = look->pieces.ended_stack_bytes};

    for (size_t i = 0; i < look->stacks.count; i++) {
        ended.count += look->stacks.items[i].ended;
        ended.not_joined += look->stacks.items[i].not_joined;
    }
    return ended;
}

int look_find_causes(struct look *look)
{
    struct explanation *out = look->out;
    struct case_file facts = {
        .rss_bytes = out->rss.rss_bytes,
        .ledger = &out->ledger,
        .arenas = out->decoded ? &out->arenas : NULL,
        .settings = out->decoded ? &out->settings : NULL,
        .tally = out->decoded ? &out->tally : NULL,
        .census = out->decoded ? &out->census : NULL,
        .caches = out->decoded ? &out->caches : NULL,
        .trim = &out->trim,
        .main_top_trims = look->main_top_trims,
        .refused = refused_heap_of(out),
        .unexplained_by = &out->unexplained_by,
        .stale = {look->pieces.stale_page_bytes, look->pieces.stale_exclusive_bytes},
        .lazyfree_bytes = out->lazyfree_bytes,
        .thp = &out->thp,
        .cpus = &out->cpus,
    };

    out->ended_stacks = facts.ended = ended_stacks_of(look);
    return diagnose(&facts, &out->findings);
}
