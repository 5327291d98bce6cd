#include "ledger/unexplained.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/vector.h"
#include "ledger/sample.h"
#include "runtime/recognise.h"

static const char by_name[] = "by the mapping's name";
static const char by_refusal[] = "in a part of its heap that could not be walked";
static const char by_exclusion[] = "nothing else recognised here keeps memory of its own";
static const char by_exclusion_and_constants[] =
    "its constants are in the program, and nothing else recognised here keeps memory of its own";
static const char by_exclusion_of_others[] =
    "nothing but these is recognised here to keep memory of its own";

enum { TESTS_MOST = 4, STACK_GUARD_MOST = 64 << 10 };

struct test_run {
    const struct content_test *test;
    const struct owner *owner;
    uint64_t stride;
};

struct attribution {
    const struct unexplained_view *view;
    struct test_run tests[TESTS_MOST];
    size_t test_count;
    struct sampler sampler;
    struct unexplained_owners result;
};

/* What is left of a mapping, by which of the tests speak against it (a bit each). */
struct leftover {
    uint64_t bytes[1 << TESTS_MOST];
};

static int add(struct attribution *a, const char *name, const char *version, uint64_t bytes,
               const char *evidence)
{
    struct unexplained_owner item = {.bytes = bytes, .evidence = evidence};

    if (bytes == 0)
        return 0;
    for (size_t i = 0; i < a->result.count; i++) {
        struct unexplained_owner *old = &a->result.items[i];

        if (old->evidence == evidence && strcmp(old->name, name) == 0 &&
            strcmp(old->version, version) == 0) {
            old->bytes += bytes;
            return 0;
        }
    }
    snprintf(item.name, sizeof item.name, "%s", name);
    snprintf(item.version, sizeof item.version, "%s", version);
    return vector_push(&a->result, item);
}

/* The version of the owner with this name, if all that have the name agree. */
static const char *version_of(const struct owners *owners, const char *name)
{
    const char *version = NULL;

    for (size_t i = 0; i < owners->count; i++)
        if (strcmp(owners->items[i].name, name) == 0) {
            if (version && strcmp(version, owners->items[i].version) != 0)
                return "";
            version = owners->items[i].version;
        }
    return version ? version : "";
}

static const char *glibc_version(const struct attribution *a)
{
    return a->view->heap ? a->view->heap->version : "";
}

/* Regions are ascending and do not overlap. */
static bool in_refused_region(const struct attribution *a, struct range range)
{
    size_t low = 0, high = a->view->heap ? a->view->heap->regions.count : 0, count = high;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (a->view->heap->regions.items[middle].range.end <= range.start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && a->view->heap->regions.items[low].refused &&
           ranges_overlap(a->view->heap->regions.items[low].range, range);
}

/*
 * A stack, when nobody could tell where the stacks are: the process' first, or one below which
 * glibc's allocate_stack (nptl/allocatestack.c) has left an inaccessible guard.
 */
static bool may_be_stack(const struct maps *maps, const struct vma *vma)
{
    const struct vma *below = vma > maps->items ? vma - 1 : NULL;

    if (strcmp(vma->name, "[stack]") == 0)
        return true;
    return below && !vma->executable && below->range.end == vma->range.start &&
           vma_is_anonymous(below) && !below->readable && !below->writable && !below->executable &&
           range_length(below->range) <= STACK_GUARD_MOST;
}

static int test_piece(struct attribution *a, const struct unexplained_piece *piece,
                      struct leftover *leftover)
{
    uint64_t left = piece->resident_bytes;
    unsigned against = 0;

    for (size_t i = 0; i < a->test_count && left > 0; i++) {
        const struct test_run *run = &a->tests[i];
        struct sample_result result;
        int r = sample_range(&a->sampler, run->test, run->stride, piece->range, &result);

        if (r < 0)
            return r;
        if (result.fit_bytes > left) /* zero pages in it are not unexplained */
            result.fit_bytes = left;
        left -= result.fit_bytes;
        against |= result.misfit && run->test->exhaustive ? 1u << i : 0;
        r = add(a, run->owner->name, run->owner->version, result.fit_bytes, run->test->evidence);
        if (r < 0)
            return r;
    }
    leftover->bytes[against] += left;
    return 0;
}

static bool is_excluded(const struct attribution *a, const char *name, unsigned against)
{
    for (size_t i = 0; i < a->test_count; i++)
        if ((against & 1u << i) && strcmp(a->tests[i].owner->name, name) == 0)
            return true;
    return false;
}

/* Names that may be it, joined; false when there are too many to be worth naming. */
static bool join(char *names, size_t size, const char *name)
{
    size_t length = strlen(names);
    int more = snprintf(names + length, size - length, "%s%s", length ? " or " : "", name);

    return more > 0 && (size_t)more < size - length;
}

static bool is_repeated(const struct owners *owners, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (owners->items[i].private_anonymous &&
            strcmp(owners->items[i].name, owners->items[index].name) == 0)
            return true;
    return false;
}

/* Who may have the rest of a mapping. */
struct heirs {
    char names[sizeof((struct unexplained_owner *)0)->name]; /* joined */
    const char *version;                                     /* of the last */
    size_t count;
    bool fit, linked_in;
};

static void add_heir(struct heirs *heirs, const char *name, const char *version)
{
    heirs->fit = heirs->fit && join(heirs->names, sizeof heirs->names, name);
    heirs->version = version;
    heirs->count++;
}

static struct heirs find_heirs(const struct attribution *a, unsigned against)
{
    const struct owners *owners = a->view->owners;
    struct heirs heirs = {.fit = true};

    for (size_t i = 0; i < owners->count; i++) {
        const struct owner *owner = &owners->items[i];

        if (!owner->private_anonymous || is_repeated(owners, i) ||
            is_excluded(a, owner->name, against))
            continue;
        add_heir(&heirs, owner->name, version_of(owners, owner->name));
        heirs.linked_in = owner->linked_in;
    }
    /* Where its heap was decoded, nothing of it is among the rest. */
    if (!a->view->heap && owners->glibc >= GLIBC_MAYBE)
        add_heir(&heirs, "glibc", glibc_version(a));
    return heirs;
}

static int add_rest(struct attribution *a, uint64_t bytes, unsigned against)
{
    struct heirs heirs = find_heirs(a, against);

    if (heirs.count == 0 || !heirs.fit)
        return 0;
    if (heirs.count > 1)
        return add(a, heirs.names, "", bytes, by_exclusion_of_others);
    return add(a, heirs.names, heirs.version, bytes,
               heirs.linked_in ? by_exclusion_and_constants : by_exclusion);
}

static int add_leftover(struct attribution *a, const struct leftover *leftover)
{
    uint64_t sum = 0;
    int r = 0;

    for (size_t i = 0; i < 1u << TESTS_MOST; i++)
        sum += leftover->bytes[i];
    for (unsigned i = 0; r == 0 && sum >= UNEXPLAINED_LEAST && i < 1u << TESTS_MOST; i++)
        if (leftover->bytes[i])
            r = add_rest(a, leftover->bytes[i], i);
    return r;
}

/* The pieces [from, to), which lie in `vma`. */
static int attribute_mapping(struct attribution *a, const struct vma *vma,
                             const struct unexplained_piece *from,
                             const struct unexplained_piece *to)
{
    const char *named = owner_by_mapping_name(vma->name);
    struct leftover leftover = {{0}};
    int r = 0;

    for (const struct unexplained_piece *piece = from; r == 0 && piece < to; piece++) {
        if (named)
            r = add(a, named,
                    strcmp(named, "glibc") == 0 ? glibc_version(a)
                                                : version_of(a->view->owners, named),
                    piece->resident_bytes, by_name);
        else if (in_refused_region(a, piece->range))
            r = add(a, "glibc", glibc_version(a), piece->resident_bytes, by_refusal);
        else
            r = test_piece(a, piece, &leftover);
    }
    if (r == 0 && (a->view->stacks_known || !may_be_stack(a->view->maps, vma)))
        r = add_leftover(a, &leftover);
    return r;
}

static int attribute_all(struct attribution *a)
{
    const struct unexplained_pieces *pieces = a->view->pieces;
    int r = 0;

    for (size_t i = 0, next; r == 0 && i < pieces->count; i = next) {
        const struct vma *vma = maps_find(a->view->maps, pieces->items[i].range.start);

        for (next = i + 1;
             next < pieces->count && vma && range_has(vma->range, pieces->items[next].range.start);)
            next++;
        if (vma && vma_is_anonymous(vma))
            r = attribute_mapping(a, vma, &pieces->items[i], &pieces->items[next]);
    }
    return r;
}

static void choose_tests(struct attribution *a)
{
    const struct unexplained_pieces *pieces = a->view->pieces;

    for (size_t i = 0; a->sampler.memory && i < a->view->owners->count; i++) {
        struct test_run run = {.owner = &a->view->owners->items[i]};

        run.test = content_test_of(run.owner, &run.stride);
        if (run.test && a->test_count < TESTS_MOST)
            a->tests[a->test_count++] = run;
    }
    for (size_t i = 0; i < pieces->count; i++)
        a->sampler.total_bytes += range_length(pieces->items[i].range);
    a->sampler.looks_left = 2 * SAMPLE_LOOKS;
}

int unexplained_attribute(const struct unexplained_view *view, struct unexplained_owners *ret,
                          struct why *why)
{
    struct attribution a = {.view = view, .sampler = {.memory = view->memory}};
    int r;

    choose_tests(&a);
    r = attribute_all(&a);
    if (r < 0) {
        free(a.result.items);
        return why_set(why, r,
                       r == -ENOMEM ? "out of memory while naming unexplained bytes"
                                    : "the process has gone while its memory was looked at");
    }
    *ret = a.result;
    return 0;
}
