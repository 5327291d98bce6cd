/* Shares of what can be returned, as several rules need them. */
#include "diagnose/rules.h"

bool is_worth_telling(const struct case_file *facts, uint64_t bytes)
{
    return bytes >= WORTH_TELLING_BYTES && bytes >= facts->rss_bytes / WORTH_TELLING_SHARE;
}

struct returnable returnable_sum(struct returnable a, struct returnable b)
{
    return (struct returnable){.bytes = a.bytes + b.bytes,
                               .shared_bytes = a.shared_bytes + b.shared_bytes,
                               .huge_part_bytes = a.huge_part_bytes + b.huge_part_bytes};
}

static void add_arena(struct returnable_split *split, bool main, struct returnable in_bins,
                      struct returnable in_top)
{
    struct returnable *top = main ? &split->in_main_top : &split->in_thread_tops;

    split->in_bins = returnable_sum(split->in_bins, in_bins);
    *top = returnable_sum(*top, in_top);
}

struct returnable_split split_returnable(const struct case_file *facts)
{
    struct returnable_split split = {0};

    for (size_t i = 0; i < facts->tally->arena_count; i++)
        add_arena(&split, facts->arenas->items[i].main, facts->tally->arenas[i].in_bins,
                  facts->tally->arenas[i].in_top);
    return split;
}

struct returnable_split split_large_returnable(const struct case_file *facts)
{
    struct returnable_split split = {0};

    for (size_t i = 0; i < facts->tally->arena_count; i++)
        add_arena(&split, facts->arenas->items[i].main, facts->tally->arenas[i].large_in_bins,
                  facts->tally->arenas[i].large_in_top);
    return split;
}

void predict(struct finding *finding, const char *cure, uint64_t rss_bytes, uint64_t charge_bytes)
{
    finding->cures[finding->cure_count++] = (struct cure_prediction){
        .name = cure, .rss_bytes = rss_bytes, .charge_bytes = charge_bytes};
}

void predict_both(struct finding *finding, struct returnable trimmed, struct returnable kept)
{
    struct returnable all = returnable_sum(trimmed, kept);

    predict(finding, "free-pages", all.bytes, all.bytes - all.shared_bytes);
    predict(finding, "malloc-trim", trimmed.bytes,
            trimmed.bytes - trimmed.shared_bytes - trimmed.huge_part_bytes);
}

uint64_t free_resident(const struct arena_tally *tally)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < SPAN_STATES; i++)
        bytes += tally->free_resident[i];
    return bytes;
}
