#include "explain/snapshot.h"

#include <stdlib.h>

void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot->comm);
    free(snapshot->boot_id);
    free(snapshot->allocator);
    free(snapshot->allocator_version);
    free(snapshot->thp);
    for (size_t i = 0; i < snapshot->owners.count; i++) {
        free(snapshot->owners.items[i].name);
        free(snapshot->owners.items[i].version);
    }
    for (size_t i = 0; i < snapshot->findings.count; i++) {
        free(snapshot->findings.items[i].id);
        free(snapshot->findings.items[i].because);
    }
    for (size_t i = 0; i < snapshot->refusals.count; i++) {
        free(snapshot->refusals.items[i].what);
        free(snapshot->refusals.items[i].reason);
    }
    free(snapshot->owners.items);
    free(snapshot->arenas.items);
    free(snapshot->classes.items);
    free(snapshot->findings.items);
    free(snapshot->refusals.items);
    *snapshot = (struct snapshot){0};
}

/* A sum that no 63 bits hold is not known. */
static void add(struct amount *sum, struct amount part)
{
    sum->known = sum->known && part.known &&
                 !__builtin_add_overflow(sum->value, part.value, &sum->value) &&
                 sum->value <= INT64_MAX;
    if (!sum->known)
        sum->value = 0;
}

static struct amount sum_of(const struct snapshot *snapshot, enum arena_figure of_arenas,
                            enum snapshot_figure of_mmapped)
{
    struct amount sum = snapshot->figures[of_mmapped];

    for (size_t i = 0; i < snapshot->arenas.count; i++)
        add(&sum, snapshot->arenas.items[i].figures[of_arenas]);
    return sum;
}

struct amount snapshot_live_blocks(const struct snapshot *snapshot)
{
    return sum_of(snapshot, ARENA_LIVE_BLOCKS, FIGURE_MMAPPED_COUNT);
}

struct amount snapshot_live_bytes(const struct snapshot *snapshot)
{
    return sum_of(snapshot, ARENA_LIVE_BYTES, FIGURE_MMAPPED_BYTES);
}
