/*
 * Copies of malloc in one process. Each link-map namespace (dlmopen) has a libc of its own, with
 * its own arenas and parameters; libc_malloc_debug.so carries a malloc, too. What they share is the
 * address space, so that they are decoded as one heap with several main arenas.
 */
#include <inttypes.h>

#include "elf/binding.h"
#include "heap/glibc/glibc.h"

/* The program's malloc is the one in the libc that starts it: what its __libc_start_main is bound
 * to. */
static struct elf_image *find_starting_libc(const struct heap_view *view)
{
    for (size_t i = 0; view->images && i < view->images->count; i++) {
        struct elf_image *image = &view->images->items[i];
        remote_addr slot, bound;

        if (image->elf && elf_symbol_slot(image, "__libc_start_main", &slot) == 0 &&
            memory_read_u64(view->memory, slot, &bound, NULL) == 0)
            return elf_images_find(view->images, bound);
    }
    return NULL;
}

struct malloc_memo *glibc_memo_of(const struct heap_view *view,
                                  const struct glibc_instance *instance)
{
    struct heap_memo *memo = view->memo;

    for (size_t i = 0; memo && i < memo->count; i++)
        if (memo->items[i].main_arena == instance->main_arena)
            return &memo->items[i];
    if (!memo || memo->count == MEMO_MALLOCS)
        return NULL;
    memo->items[memo->count] = (struct malloc_memo){.main_arena = instance->main_arena};
    return &memo->items[memo->count++];
}

static void forget_arenas_from(struct glibc *glibc, uint32_t first)
{
    size_t kept = 0;

    for (size_t i = 0; i < glibc->heap.regions.count; i++)
        if (glibc->heap.regions.items[i].arena < first)
            glibc->heap.regions.items[kept++] = glibc->heap.regions.items[i];
    glibc->heap.regions.count = kept;
    glibc->heap.arenas.count = glibc->details.count = first;
}

static void refuse_instance(struct glibc *glibc, const struct glibc_instance *instance,
                            const struct why *reason)
{
    heap_refuse(&glibc->heap, reason, "glibc heap at 0x%" PRIx64, instance->main_arena);
}

/* mp_ of an instance, which also tells the layouts that hold for it. */
static int read_parameters(const struct heap_view *view, struct glibc *glibc,
                           struct glibc_instance *instance, struct why *why)
{
    int r;

    glibc->main_arena = instance->main_arena;
    glibc->state = instance->state;
    glibc->image = instance->image;
    r = glibc_read_settings(view, glibc, why);
    if (r)
        return r;
    instance->mp = glibc->mp;
    return memory_read_u64(view->memory, glibc->mp + glibc->par->sbrk_base, &instance->sbrk_base,
                           why);
}

static int read_first(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct glibc_instance *first = &glibc->instances[0];
    int r = read_parameters(view, glibc, first, why);

    return r ? r : glibc_read_arenas(view, glibc, first, why);
}

/* The settings in force are the first one's; only mmapped chunks are counted over all. */
static int read_other(const struct heap_view *view, struct glibc *glibc,
                      struct glibc_instance *instance, struct why *why)
{
    struct glibc one = *glibc;
    int r;

    one.heap.refusals = (struct heap_refusals){0};
    r = read_parameters(view, &one, instance, why);
    if (r)
        return r;
    if (one.state != glibc->state || one.par != glibc->par)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "a second copy of glibc serves this process too, and is another version; "
                       "only the larger heap was decoded");
    r = glibc_read_arenas(view, glibc, instance, why);
    if (r)
        return r;
    glibc->heap.settings.mmapped_count += one.heap.settings.mmapped_count;
    glibc->heap.settings.mmapped_bytes += one.heap.settings.mmapped_bytes;
    return 0;
}

/* Keeps those that can be read, in order. Negative errno. */
static int read_others(const struct heap_view *view, struct glibc *glibc)
{
    size_t kept = 1;

    for (size_t i = 1; i < glibc->instance_count; i++) {
        struct glibc_instance *instance = &glibc->instances[i];
        uint32_t first = (uint32_t)glibc->heap.arenas.count;
        struct why reason = {{0}};
        int r = read_other(view, glibc, instance, &reason);

        if (r < 0)
            return r;
        if (r == 0) {
            glibc->instances[kept++] = *instance;
        } else {
            forget_arenas_from(glibc, first);
            refuse_instance(glibc, instance, &reason);
        }
    }
    glibc->instance_count = kept;
    return 0;
}

static void mark_others(const struct heap_view *view, struct glibc *glibc)
{
    const struct elf_image *starting = glibc->instance_count > 1 ? find_starting_libc(view) : NULL;

    for (size_t i = 0; starting && i < glibc->instance_count; i++)
        for (uint32_t a = 0; a < glibc->instances[i].arena_count; a++)
            glibc->heap.arenas.items[glibc->instances[i].first_arena + a].other_copy =
                glibc->instances[i].image != starting;
}

int glibc_read_instances(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    int r = read_first(view, glibc, why);

    /* The largest heap may be of an unknown kind; the next one is better than nothing. */
    while (r == OUTCOME_LAYOUT_UNKNOWN && glibc->instance_count > 1) {
        forget_arenas_from(glibc, 0);
        refuse_instance(glibc, &glibc->instances[0], why);
        memmove(glibc->instances, glibc->instances + 1,
                --glibc->instance_count * sizeof *glibc->instances);
        r = read_first(view, glibc, why);
    }
    if (r == 0)
        r = read_others(view, glibc);
    if (r)
        return r;
    mark_others(view, glibc);
    glibc_sort_regions(glibc);
    return glibc_find_pieces(view, glibc, why);
}
