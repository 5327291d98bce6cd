#include "report/advice.h"

#include <string.h>

enum { ARENAS_ADVISED = 2 };

/* Setting either of the two turns the dynamic rule off (glibc's mallopt.3: "dynamic mmap
 * threshold"). */
static const struct advice static_thresholds = {
    "MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072",
    "in the environment at start keeps large blocks in mappings of their own, which free() gives "
    "back; programs that "
    "allocate and free large blocks all the time can become many times slower, so measure yours",
};

static const struct advice few_arenas = {
    "MALLOC_ARENA_MAX=2",
    "in the environment at start lets threads share free memory; they wait for each other then, "
    "and programs that do "
    "little but allocate in many threads can take twice as long, so measure yours",
};

static const struct advice no_filling_up = {
    "echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none",
    "as root keeps khugepaged from filling huge pages up with zeros, in the whole system; it "
    "neither takes back what is "
    "filled up already nor concerns huge pages made at the first touch",
};

static bool has_many_arenas(const struct explanation *e)
{
    return e->arenas.count > ARENAS_ADVISED &&
           (e->settings.arena_max == 0 || e->settings.arena_max > ARENAS_ADVISED);
}

const struct advice *advice_for(const struct explanation *explanation,
                                const struct finding *finding)
{
    if (strcmp(finding->id, "glibc-dynamic-threshold") == 0)
        return &static_thresholds;
    if (strcmp(finding->id, "glibc-free-inside-arenas") == 0 ||
        strcmp(finding->id, "glibc-arena-tops") == 0)
        return has_many_arenas(explanation) ? &few_arenas : NULL;
    if (strcmp(finding->id, "huge-pages-of-zeros") == 0)
        return explanation->thp.khugepaged_known && explanation->thp.max_ptes_none > 0
                   ? &no_filling_up
                   : NULL;
    return NULL;
}
