#include "heap/glibc/code.h"

#include <stdlib.h>

#include "base/vector.h"

/* malloc.c's exported functions. The internal ones lie between and around them: one object file. */
static const char *const entry_points[] = {
    "malloc",   "free",      "calloc",         "realloc",     "memalign",        "aligned_alloc",
    "valloc",   "pvalloc",   "posix_memalign", "malloc_trim", "malloc_stats",    "malloc_info",
    "mallinfo", "mallinfo2", "mallopt",        "cfree",       "__libc_memalign",
};

enum {
    NEAR_BYTES = 1 << 15, /* malloc.c's code is 16 to 28 KiB long */
    GAP_BYTES = 1 << 12,  /* and its functions that refer to neither are short */
    FUNCTIONS_LEAST = 12, /* about 25 refer to main_arena or mp_ */
    FUNCTIONS_MOST = 1 << 16,
};

struct reference_search {
    struct elf_image *image;
    struct functions {
        struct range *items;
        size_t count, capacity;
    } functions; /* that refer to main_arena or mp_ */
};

static void include_range(struct range *to, struct range add)
{
    if (to->start == to->end) {
        *to = add;
        return;
    }
    if (add.start < to->start)
        to->start = add.start;
    if (add.end > to->end)
        to->end = add.end;
}

static int take_reference(void *context, remote_addr where)
{
    struct reference_search *search = context;
    struct functions *functions = &search->functions;
    struct range function;

    if (functions->count && range_has(functions->items[functions->count - 1], where))
        return 0;
    if (functions->count >= FUNCTIONS_MOST || elf_function_at(search->image, where, &function) != 0)
        return 0;
    return vector_push(functions, function);
}

static int by_start(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* The functions that refer to main_arena or to mp_, ascending, each once. */
static int find_references(const struct glibc *glibc, const struct glibc_instance *instance,
                           struct reference_search *search)
{
    struct range arena = {instance->main_arena, instance->main_arena + glibc->state->size};
    struct range par = {instance->mp, instance->mp + glibc->par->size};
    size_t kept = 0;
    int r = elf_each_reference(search->image, arena, take_reference, search);

    if (r == 0)
        r = elf_each_reference(search->image, par, take_reference, search);
    if (r)
        return r;
    if (search->functions.count)
        qsort(search->functions.items, search->functions.count, sizeof(struct range), by_start);
    for (size_t i = 0; i < search->functions.count; i++)
        if (kept == 0 ||
            search->functions.items[i].start != search->functions.items[kept - 1].start)
            search->functions.items[kept++] = search->functions.items[i];
    search->functions.count = kept;
    return 0;
}

static struct range exported_stretch(struct elf_image *image)
{
    struct range stretch = {0};

    for (size_t i = 0; i < sizeof entry_points / sizeof *entry_points; i++) {
        struct range function;
        remote_addr address;

        if (elf_dynamic_symbol(image, entry_points[i], &address, NULL) == 0 &&
            elf_function_at(image, address, &function) == 0)
            include_range(&stretch, function);
    }
    return stretch;
}

/* Where most of the functions lie, none far from the next; empty when these are too few to be
 * malloc's. */
static struct range densest_stretch(const struct functions *functions)
{
    struct range best = {0};
    size_t most = FUNCTIONS_LEAST - 1;

    for (size_t first = 0, i = 0; i < functions->count; i++) {
        if (functions->items[i].start > functions->items[i ? i - 1 : 0].end + GAP_BYTES)
            first = i;
        if (i - first + 1 > most) {
            most = i - first + 1;
            best = (struct range){functions->items[first].start, functions->items[i].end};
        }
    }
    return best;
}

static void widen(struct range *stretch, const struct functions *functions)
{
    struct range near = {stretch->start - NEAR_BYTES, stretch->end + NEAR_BYTES};

    for (size_t i = 0; i < functions->count; i++)
        if (ranges_overlap(near, functions->items[i]))
            include_range(stretch, functions->items[i]);
}

int glibc_find_code(const struct glibc *glibc, const struct glibc_instance *instance,
                    struct range *ret, struct why *why)
{
    struct reference_search search = {.image = instance->image};
    struct range stretch;
    int r;

    if (!search.image || !search.image->elf)
        return why_set(why, OUTCOME_TORN,
                       "malloc's code could not be read, so its only thread may be inside it");
    stretch = exported_stretch(search.image);
    r = find_references(glibc, instance, &search);
    if (stretch.start != stretch.end)
        widen(&stretch, &search.functions);
    else
        stretch = densest_stretch(&search.functions);
    if (r == 0 && stretch.start == stretch.end)
        r = why_set(why, OUTCOME_TORN,
                    "malloc's code was not found in %s, so its only thread may be inside it",
                    search.image->path);
    if (r == 0)
        *ret = stretch;
    free(search.functions.items);
    return r;
}
