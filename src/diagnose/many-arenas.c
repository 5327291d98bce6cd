/*
 * More arenas than threads can run at a time. glibc makes up to 8 for each CPU that it counts, and
 * counts those of the machine or those that the process may run on, never a quota of time
 * (arena_get2; sched_getaffinity knows none).
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

/* So many bytes are free in an arena that no more than `spared` have more: found by halving, as
 * there may be thousands of arenas. */
static uint64_t least_spared(const struct case_file *facts, size_t spared)
{
    uint64_t low = 0, high = UINT64_MAX;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        size_t above = 0;

        for (size_t i = 0; i < facts->tally->arena_count; i++)
            above += free_resident(&facts->tally->arenas[i]) > middle;
        if (above > spared)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct surplus {
    size_t arenas, surplus_arenas;
    uint64_t bytes;
    struct returnable trimmed, kept;
};

static void add(struct surplus *sum, const struct case_file *facts, size_t index)
{
    const struct arena_tally *tally = &facts->tally->arenas[index];
    bool trims = facts->arenas->items[index].main && facts->main_top_trims;

    sum->surplus_arenas++;
    sum->bytes += free_resident(tally);
    sum->trimmed = returnable_sum(sum->trimmed, tally->in_bins);
    if (trims)
        sum->trimmed = returnable_sum(sum->trimmed, tally->in_top);
    else
        sum->kept = returnable_sum(sum->kept, tally->in_top);
}

static struct surplus surplus_of(const struct case_file *facts, size_t spared)
{
    struct surplus sum = {0};
    uint64_t limit = least_spared(facts, spared);
    size_t above = 0;

    for (size_t i = 0; i < facts->tally->arena_count; i++) {
        sum.arenas += facts->tally->arenas[i].resident_bytes != 0;
        above += free_resident(&facts->tally->arenas[i]) > limit;
    }
    for (size_t i = 0; i < facts->tally->arena_count; i++) {
        uint64_t bytes = free_resident(&facts->tally->arenas[i]);

        if (facts->tally->arenas[i].resident_bytes == 0 || bytes > limit)
            continue;
        if (bytes == limit && above < spared)
            above++;
        else
            add(&sum, facts, i);
    }
    return sum;
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    unsigned cpus = whole_cpus(facts->cpus);
    struct surplus sum;

    if (!facts->tally || cpus == 0)
        return false;
    sum = surplus_of(facts, cpus);
    ret->bytes = sum.bytes;
    if (sum.arenas <= cpus || !is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%zu arenas for %s: no more than %u thread%s run%s at a time, and %s is free in the "
             "other %zu arena%s, where it serves no other's threads",
             sum.arenas, describe_cpus(facts->cpus).text, cpus, cpus == 1 ? "" : "s",
             cpus == 1 ? "s" : "", format_bytes(ret->bytes).text, sum.surplus_arenas,
             sum.surplus_arenas == 1 ? "" : "s");
    predict_both(ret, sum.trimmed, sum.kept);
    return true;
}

const struct rule rule_many_arenas = {.id = "glibc-many-arenas", .applies = applies};
