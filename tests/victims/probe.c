/*
 * A pause as the victim feels it: how far apart two looks at the clock are that should be close.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "fill.h"
#include "say.h"

enum { NS_PER_S = 1000000000, PROBE_SLEEP_NS = 50000 };

static _Atomic(unsigned long) last, longest;

unsigned long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * NS_PER_S + (unsigned long)now.tv_nsec;
}

void sleep_until_ns(unsigned long ns)
{
    struct timespec then = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
}

void probe_mark(void)
{
    unsigned long now = now_ns(), before = atomic_exchange(&last, now);

    if (before && now - before > atomic_load(&longest))
        atomic_store(&longest, now - before);
}

/* What it did itself since (a check of all blocks, say) is nobody else's doing. */
unsigned long probe_longest_ns(void)
{
    atomic_store(&last, now_ns());
    return atomic_exchange(&longest, 0);
}

static void *probe_for_ever(void *argument)
{
    for (;;) {
        probe_mark();
        sleep_until_ns(now_ns() + PROBE_SLEEP_NS);
    }
    return NULL;
}

/* Before all others where that is permitted, so that it waits for a stop and not for its turn. */
void probe_start(void)
{
    const struct sched_param first = {.sched_priority = 1};
    pthread_t thread;

    if (pthread_create(&thread, NULL, probe_for_ever, NULL) != 0)
        fail("a thread could not be started");
    (void)pthread_setschedparam(thread, SCHED_FIFO, &first);
}
