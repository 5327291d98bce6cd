/*
 * Where memory may be given back: private anonymous mappings that nothing depends on but their content.
 *
 * What a mapping is used for by others decides: locked pages are promised to stay; a userfaultfd handler would be asked
 * for what went; memory tags and shadow stacks have a second content that would be lost.
 */
#pragma once

#include "procfs/maps.h"

struct cure_place {
    struct range range;
    bool no_huge_pages;   /* MADV_NOHUGEPAGE */
    const char *obstacle; /* static: why nothing of it may go, as "locked in memory (mlock)"; NULL: it may */
};

struct cure_places {
    struct cure_place *items; /* private anonymous mappings, ascending */
    size_t count, capacity;
};

/*
 * From maps and smaps; what changes between these two is left out with an obstacle. Release with free(ret->items).
 * Negative errno as smaps_each.
 */
int cure_places_read(const struct procfs *procfs, pid_t pid, struct cure_places *ret, struct why *why) must_check;

/* The place that holds `address`, or NULL. */
const struct cure_place *cure_place_at(const struct cure_places *places, remote_addr address);

/* The first obstacle in `range`, NULL where all of it may go. What lies in no place has one, too. */
const char *cure_obstacle_in(const struct cure_places *places, struct range range);

/* Puts an obstacle, which must outlive `places`, before all of them. */
void cure_places_obstruct(struct cure_places *places, const char *obstacle);
