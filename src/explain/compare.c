#include "explain/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"

static const struct snapshot_arena *main_arena(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->arenas.count; i++)
        if (snapshot->arenas.items[i].main)
            return &snapshot->arenas.items[i];
    return NULL;
}

/* The main arena lies in libc, or in a static program, and neither moves as long as the program
 * runs. */
static bool main_arena_moved(const struct snapshot *before, const struct snapshot *after)
{
    const struct snapshot_arena *a = main_arena(before), *b = main_arena(after);

    return a && b && a->address != b->address;
}

static bool is_known(const struct snapshot *snapshot)
{
    return snapshot->boot_id && snapshot->start_ticks.known;
}

static enum relation relation_of(const struct snapshot *before, const struct snapshot *after)
{
    if (before->pid != after->pid)
        return RELATION_OTHER;
    if (!is_known(before) || !is_known(after))
        return RELATION_UNKNOWN;
    if (strcmp(before->boot_id, after->boot_id) != 0 ||
        before->start_ticks.value != after->start_ticks.value)
        return RELATION_OTHER;
    return main_arena_moved(before, after) ? RELATION_EXECUTED : RELATION_SAME;
}

static int by_address(const void *a, const void *b)
{
    const struct snapshot_arena *const *left = a, *const *right = b;

    return ((*left)->address > (*right)->address) - ((*left)->address < (*right)->address);
}

/* NULL when memory is short. */
static const struct snapshot_arena **sorted(const struct snapshot_arenas *arenas)
{
    const struct snapshot_arena **list = calloc(arenas->count + 1, sizeof *list);

    for (size_t i = 0; list && i < arenas->count; i++)
        list[i] = &arenas->items[i];
    if (list)
        qsort(list, arenas->count, sizeof *list, by_address);
    return list;
}

/* Both lists end with NULL. */
static int pair_arenas(struct comparison *c)
{
    auto_free const struct snapshot_arena **before = sorted(&c->before->arenas);
    auto_free const struct snapshot_arena **after = sorted(&c->after->arenas);
    size_t i = 0, k = 0;
    int r = before && after ? 0 : -ENOMEM;

    while (r == 0 && (before[i] || after[k])) {
        int order = !before[i] ? 1 : !after[k] ? -1 : by_address(&before[i], &after[k]);
        struct arena_pair pair = {0};

        if (order <= 0)
            pair.before = before[i++];
        if (order >= 0)
            pair.after = after[k++];
        r = vector_push(&c->arenas, pair);
    }
    return r;
}

static bool is_same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static const struct snapshot_owner *find_owner(const struct snapshot_owners *owners,
                                               const struct snapshot_owner *wanted)
{
    for (size_t i = 0; i < owners->count; i++)
        if (is_same_text(owners->items[i].name, wanted->name) &&
            is_same_text(owners->items[i].version, wanted->version))
            return &owners->items[i];
    return NULL;
}

static int pair_owners(struct comparison *c)
{
    const struct snapshot_owners *before = &c->before->owners, *after = &c->after->owners;
    int r = 0;

    for (size_t i = 0; r == 0 && i < after->count; i++)
        r = vector_push(&c->owners, ((struct owner_pair){find_owner(before, &after->items[i]),
                                                         &after->items[i]}));
    for (size_t i = 0; r == 0 && i < before->count; i++)
        if (!find_owner(after, &before->items[i]))
            r = vector_push(&c->owners, ((struct owner_pair){&before->items[i], NULL}));
    return r;
}

static const struct snapshot_class *find_class(const struct snapshot_classes *classes,
                                               uint64_t least_bytes)
{
    for (size_t i = 0; i < classes->count; i++)
        if (classes->items[i].least_bytes == least_bytes)
            return &classes->items[i];
    return NULL;
}

static int pair_classes(struct comparison *c)
{
    const struct snapshot_classes *before = &c->before->classes, *after = &c->after->classes;
    int r = 0;

    if (before->count == 0 || after->count == 0)
        return 0;
    for (size_t i = 0; r == 0 && i < after->count; i++)
        r = vector_push(&c->classes,
                        ((struct class_pair){find_class(before, after->items[i].least_bytes),
                                             &after->items[i]}));
    for (size_t i = 0; r == 0 && i < before->count; i++)
        if (!find_class(after, before->items[i].least_bytes))
            r = vector_push(&c->classes, ((struct class_pair){&before->items[i], NULL}));
    return r;
}

static const struct snapshot_finding *find_finding(const struct snapshot_findings *findings,
                                                   const char *id)
{
    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->items[i].id, id) == 0)
            return &findings->items[i];
    return NULL;
}

static int pair_findings(struct comparison *c)
{
    const struct snapshot_findings *before = &c->before->findings, *after = &c->after->findings;
    int r = 0;

    for (size_t i = 0; r == 0 && i < after->count; i++)
        r = vector_push(
            &c->findings,
            ((struct finding_pair){find_finding(before, after->items[i].id), &after->items[i]}));
    for (size_t i = 0; r == 0 && i < before->count; i++)
        if (!find_finding(after, before->items[i].id))
            r = vector_push(&c->findings, ((struct finding_pair){&before->items[i], NULL}));
    return r;
}

int compare_snapshots(const struct snapshot *before, const struct snapshot *after,
                      struct comparison *ret)
{
    struct comparison c = {
        .before = before, .after = after, .relation = relation_of(before, after)};
    int r = c.relation == RELATION_SAME ? pair_arenas(&c) : 0;

    c.interval_known = before->taken_at_ns.known && after->taken_at_ns.known;
    if (c.interval_known)
        c.interval_ns = (int64_t)after->taken_at_ns.value - (int64_t)before->taken_at_ns.value;
    if (r == 0)
        r = pair_owners(&c);
    if (r == 0)
        r = pair_classes(&c);
    if (r == 0)
        r = pair_findings(&c);
    if (r) {
        comparison_free(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void comparison_free(struct comparison *comparison)
{
    free(comparison->arenas.items);
    free(comparison->owners.items);
    free(comparison->classes.items);
    free(comparison->findings.items);
    *comparison = (struct comparison){0};
}
