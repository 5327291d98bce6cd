#include "cure/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vector.h"
#include "procfs/status.h"

#define NAP_NS (NS_PER_S / 20)

int cure_watch_begin(const struct procfs *procfs, pid_t pid, enum rss_source source,
                     struct cure_watch *ret, struct why *why)
{
    struct page_faults faults;
    int r = page_faults_read(procfs, pid, &faults, why);

    if (r)
        return r;
    *ret = (struct cure_watch){.procfs = procfs,
                               .pid = pid,
                               .source = source,
                               .began_ns = clock_now_ns(),
                               .faults = faults.minor};
    return 0;
}

static int take(const struct cure_watch *watch, struct cure_samples *samples, struct why *why)
{
    struct page_faults faults;
    struct rss rss;
    int r = rss_read(watch->procfs, watch->pid, watch->source, &rss, why);

    if (r == 0)
        r = page_faults_read(watch->procfs, watch->pid, &faults, why);
    if (r)
        return r;
    return vector_push(samples,
                       ((struct cure_sample){.after_ns = clock_now_ns() - watch->began_ns,
                                             .rss_bytes = rss.rss_bytes,
                                             .minor_faults = faults.minor - watch->faults}));
}

static void wait_until(const struct cure_watch *watch, uint64_t after_ns,
                       const struct cure_limits *limits)
{
    for (;;) {
        uint64_t passed = clock_now_ns() - watch->began_ns;

        if (passed >= after_ns || cure_is_interrupted(limits))
            return;
        clock_sleep_ns(after_ns - passed < NAP_NS ? after_ns - passed : NAP_NS);
    }
}

int cure_watch_run(const struct cure_watch *watch, uint64_t length_ns,
                   const struct cure_limits *limits, struct cure_samples *ret, struct why *why)
{
    uint64_t next = NS_PER_S;
    int r;

    *ret = (struct cure_samples){0};
    r = take(watch, ret, why);
    for (bool last = length_ns == 0; r == 0 && !last; next *= 2) {
        last = next >= length_ns;
        wait_until(watch, last ? length_ns : next, limits);
        last |= cure_is_interrupted(limits);
        r = take(watch, ret, why);
    }
    if (r == -ESRCH)
        return 0;
    if (r)
        free(ret->items);
    return r;
}
