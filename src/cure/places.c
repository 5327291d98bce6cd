#include "cure/places.h"

#include <errno.h>
#include <stdlib.h>

#include "base/vector.h"
#include "procfs/smaps.h"

static const char changed[] = "its mapping changed while it was looked at";

/* Every place begins with an obstacle, which smaps takes away from those that it shows. */
static int list_places(const struct maps *maps, struct cure_places *places)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < maps->count; i++) {
        const struct vma *vma = &maps->items[i];

        if (vma_is_anonymous(vma))
            r = vector_push(places,
                            ((struct cure_place){.range = vma->range, .obstacle = changed}));
    }
    return r;
}

static const char *obstacle_of(const struct smaps_entry *entry)
{
    if (entry->locked)
        return "it is locked in memory (mlock)";
    if (entry->userfaultfd)
        return "it is watched by userfaultfd, whose handler would be asked for what went";
    if (entry->hugetlb || entry->pfn_mapped)
        return "it is no ordinary memory (hugetlb, or a device's)";
    if (entry->tagged)
        return "it has memory tags, which would be lost";
    if (entry->shadow_stack)
        return "it is a shadow stack";
    return NULL;
}

/* Index of the first place that ends above `address`. */
static size_t index_above(const struct cure_places *places, remote_addr address)
{
    size_t low = 0, high = places->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (places->items[middle].range.end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int take_entry(void *context, const struct smaps_entry *entry)
{
    struct cure_places *places = context;
    size_t i = index_above(places, entry->range.start);

    if (i < places->count && places->items[i].range.start == entry->range.start &&
        places->items[i].range.end == entry->range.end) {
        places->items[i].obstacle = obstacle_of(entry);
        places->items[i].no_huge_pages = entry->thp_refused;
    }
    return 0;
}

int cure_places_read(const struct procfs *procfs, pid_t pid, struct cure_places *ret,
                     struct why *why)
{
    struct cure_places places = {0};
    struct maps maps;
    int r = maps_read(procfs, pid, &maps, why);

    if (r)
        return r;
    r = list_places(&maps, &places);
    maps_free(&maps);
    if (r == 0)
        r = smaps_each(procfs, pid, take_entry, &places, why);
    if (r)
        free(places.items);
    else
        *ret = places;
    return r;
}

const struct cure_place *cure_place_at(const struct cure_places *places, remote_addr address)
{
    size_t i = index_above(places, address);

    return i < places->count && range_has(places->items[i].range, address) ? &places->items[i]
                                                                           : NULL;
}

const char *cure_obstacle_in(const struct cure_places *places, struct range range)
{
    remote_addr at = range.start;

    for (size_t i = index_above(places, at); at < range.end; i++) {
        const struct cure_place *place = i < places->count ? &places->items[i] : NULL;

        if (!place || !range_has(place->range, at))
            return changed;
        if (place->obstacle)
            return place->obstacle;
        at = place->range.end;
    }
    return NULL;
}

void cure_places_obstruct(struct cure_places *places, const char *obstacle)
{
    for (size_t i = 0; i < places->count; i++)
        places->items[i].obstacle = obstacle;
}
