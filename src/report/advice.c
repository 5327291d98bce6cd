#include "report/advice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENAS_ADVISED = 2, CACHE_ADVISED = 2 };

static bool advise(struct advice *ret, const char *setting, const char *effect)
{
    *ret = (struct advice){setting, effect};
    return true;
}

/* Setting either of the two turns the dynamic rule off (glibc's mallopt.3: "dynamic mmap
 * threshold"). */
static bool static_thresholds(const struct explanation *e, struct advice_text *text,
                              struct advice *ret)
{
    return advise(
        ret, "MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072",
        "in the environment at start keeps large blocks in mappings of their own, which "
        "free() gives back; programs that allocate and free large blocks all the time "
        "can become many times slower, so measure yours; residue keep --thresholds does it "
        "without a restart, and takes it back where it costs too much");
}

static bool few_arenas(const struct explanation *e, struct advice_text *text, struct advice *ret)
{
    if (e->arenas.count <= ARENAS_ADVISED ||
        (e->settings.arena_max != 0 && e->settings.arena_max <= ARENAS_ADVISED))
        return false;
    return advise(ret, "MALLOC_ARENA_MAX=2",
                  "in the environment at start lets threads share free memory; they wait for each "
                  "other then, and programs that do little but allocate in many threads can take "
                  "twice as long, so measure yours");
}

/* One for each thread that can run at a time; fewer than two make even two threads wait. */
static bool arenas_for_cpus(const struct explanation *e, struct advice_text *text,
                            struct advice *ret)
{
    uint64_t arenas = (cpus_usable_hundredths(&e->cpus) + 99) / 100;

    if (arenas < ARENAS_ADVISED)
        arenas = ARENAS_ADVISED;
    if (arenas == ARENAS_ADVISED)
        return few_arenas(e, text, ret);
    if (e->arenas.count <= arenas || (e->settings.arena_max && e->settings.arena_max <= arenas))
        return false;
    snprintf(text->text, sizeof text->text, "MALLOC_ARENA_MAX=%u", (unsigned)arenas);
    return advise(ret, text->text,
                  "in the environment at start makes no more arenas than threads can run at a "
                  "time; threads that allocate at the same moment may wait for each other then, "
                  "so measure yours");
}

static bool small_caches(const struct explanation *e, struct advice_text *text, struct advice *ret)
{
    if (e->settings.tcache_count <= CACHE_ADVISED)
        return false;
    return advise(ret, "GLIBC_TUNABLES=glibc.malloc.tcache_count=2",
                  "in the environment at start lets every thread keep two chunks of a size; small "
                  "allocations take an arena's lock more often then, so measure yours");
}

static bool no_filling_up(const struct explanation *e, struct advice_text *text, struct advice *ret)
{
    if (!e->thp.khugepaged_known || e->thp.max_ptes_none == 0)
        return false;
    return advise(ret, "echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none",
                  "as root keeps khugepaged from filling huge pages up with zeros, in the whole "
                  "system; it neither takes back what is filled up already nor concerns huge pages "
                  "made at the first touch; residue keep keeps all of them away from one process");
}

/* glibc.pthread.stack_cache_size came with 2.34 (dd45734e32). */
static bool has_stack_cache_size(const struct explanation *e)
{
    const char *version = e->allocator_version;

    return e->allocator && strcmp(e->allocator, "glibc") == 0 && strncmp(version, "2.", 2) == 0 &&
           atoi(version + 2) >= 34;
}

/* Only where most of it is on stacks that glibc keeps for new threads. */
static bool small_stack_cache(const struct explanation *e, struct advice_text *text,
                              struct advice *ret)
{
    const struct ended_stacks *ended = &e->ended_stacks;

    if (ended->count == ended->not_joined || !has_stack_cache_size(e) ||
        ended->stale_bytes < e->ledger.bytes[ACCOUNT_STACK_STALE] / 2)
        return false;
    return advise(ret, "GLIBC_TUNABLES=glibc.pthread.stack_cache_size=1048576",
                  "in the environment at start keeps 1 MiB of address space of ended threads' "
                  "stacks for new threads, not 40 MiB; threads take longer to start then");
}

static bool no_lazy_free(const struct explanation *e, struct advice_text *text, struct advice *ret)
{
    for (size_t i = 0; i < e->unexplained_by.count; i++) {
        const struct unexplained_owner *owner = &e->unexplained_by.items[i];

        if (strcmp(owner->name, "jemalloc") == 0)
            return advise(ret, "MALLOC_CONF=muzzy_decay_ms:0",
                          "in the environment at start has jemalloc give unused pages back at "
                          "once after their first decay; reusing them costs page faults");
        /* Go gave memory back with MADV_FREE from 1.12 to 1.15. */
        if (strcmp(owner->name, "Go") == 0 && strncmp(owner->version, "1.", 2) == 0 &&
            atoi(owner->version + 2) < 16)
            return advise(ret, "GODEBUG=madvdontneed=1",
                          "in the environment at start has Go give unused pages back at once, as "
                          "it does by default since 1.16");
    }
    return false;
}

static const struct {
    const char *finding;
    bool (*advise)(const struct explanation *e, struct advice_text *text, struct advice *ret);
} known[] = {
    {"glibc-dynamic-threshold", static_thresholds},
    {"glibc-free-inside-arenas", few_arenas},
    {"glibc-arena-tops", few_arenas},
    {"glibc-many-arenas", arenas_for_cpus},
    {"glibc-thread-caches", small_caches},
    {"huge-pages-of-zeros", no_filling_up},
    {"stale-stacks", small_stack_cache},
    {"lazily-freed", no_lazy_free},
};

bool advice_for(const struct explanation *explanation, const struct finding *finding,
                struct advice_text *text, struct advice *ret)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].finding, finding->id) == 0)
            return known[i].advise(explanation, text, ret);
    return false;
}
