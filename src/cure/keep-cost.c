#include "cure/keep-cost.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/range.h"

enum { ROUNDS = 8, PAGES = 256 };

/* A mapping made, `pages` of it written to, and removed: nanoseconds, or 0. */
static uint64_t time_of_mapping(size_t pages)
{
    uint64_t began = clock_now_ns();
    int r = 0;
    volatile char *start =
        mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (start == MAP_FAILED)
        return 0;
    if (pages)
        r = madvise((void *)start, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
    (void)r; /* fails in a kernel without huge pages */
    for (size_t i = 0; i < pages; i++)
        start[i * PAGE_BYTES] = 1;
    munmap((void *)start, PAGES * PAGE_BYTES);
    return clock_now_ns() - began;
}

/* The shortest of several: what else the machine did is not counted. */
static uint64_t shortest(size_t pages)
{
    uint64_t best = 0;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t ns = time_of_mapping(pages);

        if (ns && (!best || ns < best))
            best = ns;
    }
    return best;
}

void keep_cost_measure(struct keep_cost *ret)
{
    uint64_t touched = shortest(PAGES);

    ret->mapping_ns = shortest(0);
    ret->fault_ns = touched > ret->mapping_ns ? (touched - ret->mapping_ns) / PAGES : 0;
}

static double permille(uint64_t faults, uint64_t fault_ns, uint64_t ns)
{
    return ns ? 1000.0 * (double)faults * (double)fault_ns / (double)ns : 0;
}

double keep_cost_permille_before(const struct keep_cost *cost)
{
    return permille(cost->faults_before, cost->fault_ns, cost->before_ns);
}

double keep_cost_permille(const struct keep_cost *cost)
{
    return permille(cost->faults, cost->fault_ns, cost->watched_ns);
}

/* Told before the time is over, when what they took already is too much for all of it. */
bool keep_cost_exceeds(const struct keep_cost *cost, uint64_t watch_ns, unsigned most)
{
    double allowed = ((double)most + keep_cost_permille_before(cost)) / 1000 * (double)watch_ns;

    return (double)cost->faults * (double)cost->fault_ns > allowed;
}
