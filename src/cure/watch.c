#include "cure/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vector.h"

enum { MINFLT = 10, STATE = 3 }; /* fields of /proc/PID/stat */
#define NAP_NS (NS_PER_S / 20)

/* The name before the fields may hold any character, so they are counted from its last parenthesis.
 */
static int read_faults(const struct procfs *procfs, pid_t pid, uint64_t *ret, struct why *why)
{
    auto_free char *text = NULL;
    size_t length;
    char *field;
    int r = procfs_read(procfs, &text, &length, "proc/%d/stat", (int)pid);

    if (r < 0)
        return why_set(why, r == -ENOENT ? -ESRCH : r, "/proc/%d/stat cannot be read", (int)pid);
    field = strrchr(text, ')');
    for (int i = STATE - 1; field && i < MINFLT; i++)
        field = strchr(field + 1, ' ');
    if (!field || sscanf(field, " %" SCNu64, ret) != 1)
        return why_set(why, -EBADMSG, "/proc/%d/stat cannot be understood", (int)pid);
    return 0;
}

int cure_watch_begin(const struct procfs *procfs, pid_t pid, enum rss_source source,
                     struct cure_watch *ret, struct why *why)
{
    *ret = (struct cure_watch){
        .procfs = procfs, .pid = pid, .source = source, .began_ns = clock_now_ns()};
    return read_faults(procfs, pid, &ret->faults, why);
}

static int take(const struct cure_watch *watch, struct cure_samples *samples, struct why *why)
{
    uint64_t faults = 0;
    struct rss rss;
    int r = rss_read(watch->procfs, watch->pid, watch->source, &rss, why);

    if (r == 0)
        r = read_faults(watch->procfs, watch->pid, &faults, why);
    if (r)
        return r;
    return vector_push(samples, ((struct cure_sample){.after_ns = clock_now_ns() - watch->began_ns,
                                                      .rss_bytes = rss.rss_bytes,
                                                      .minor_faults = faults - watch->faults}));
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
