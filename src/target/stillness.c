#include "target/stillness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vector.h"

enum { LOOKS = 6 };
#define FIRST_LOOK_NS (NS_PER_MS / 10)

/* "exec_runtime run_delay pcount"; all zeros where the kernel does not count. */
static int read_arrivals(const struct procfs *procfs, pid_t pid, pid_t tid, uint64_t *ret)
{
    auto_free char *text = NULL;
    size_t length;
    int r = procfs_read(procfs, &text, &length, "proc/%d/task/%d/schedstat", (int)pid, (int)tid);

    if (r < 0)
        return r;
    return sscanf(text, "%*u %*u %" SCNu64, ret) == 1 ? 0 : -EBADMSG;
}

/* We have run, so our own count tells. */
static bool counts(const struct procfs *procfs)
{
    uint64_t own = 0;

    return read_arrivals(procfs, getpid(), getpid(), &own) == 0 && own > 0;
}

/* The letter behind the name, which may hold any character. */
static int read_state(const struct procfs *procfs, pid_t pid, pid_t tid, char *ret)
{
    auto_free char *text = NULL;
    const char *behind;
    size_t length;
    int r = procfs_read(procfs, &text, &length, "proc/%d/task/%d/stat", (int)pid, (int)tid);

    if (r < 0)
        return r;
    behind = strrchr(text, ')');
    if (!behind || behind[1] != ' ' || !behind[2])
        return -EBADMSG;
    *ret = behind[2];
    return 0;
}

/*
 * The count is read before the state: a thread that ran in between and sleeps again has a higher
 * count by then, and will not pass. T: stopped by a signal; it runs no more than a sleeping one.
 */
static int note_thread(const struct procfs *procfs, pid_t pid, pid_t tid, struct still_thread *ret,
                       struct why *why)
{
    char state = '?';
    uint64_t arrivals = 0;
    int r = read_arrivals(procfs, pid, tid, &arrivals);

    if (r == 0)
        r = read_state(procfs, pid, tid, &state);
    if (r == -ENOENT || r == -ESRCH)
        return why_set(why, OUTCOME_TORN, "thread %d has ended", (int)tid);
    if (r)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "how often thread %d ran cannot be read: %s",
                       (int)tid, strerror(-r));
    if (arrivals == 0 && !counts(procfs))
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this kernel does not count how often threads run");
    if (arrivals == 0)
        return why_set(why, OUTCOME_TORN, "thread %d has not run yet", (int)tid);
    if (state != 'S' && state != 'T')
        return why_set(why, OUTCOME_TORN, "thread %d is running", (int)tid);
    *ret = (struct still_thread){.tid = tid, .arrivals = arrivals};
    return 0;
}

static int note_all(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why)
{
    auto_free pid_t *tids = NULL;
    size_t count = 0;
    int r = procfs_list_tasks(procfs, pid, &tids, &count);

    ret->count = 0;
    if (r)
        return why_set(why, r == -ENOENT ? -ESRCH : r, "the threads of process %d cannot be listed",
                       (int)pid);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct still_thread thread;

        r = note_thread(procfs, pid, tids[i], &thread, why);
        if (r == 0)
            r = vector_push(ret, thread);
    }
    return r;
}

int stillness_begin(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why)
{
    struct stillness stillness = {0};
    uint64_t wait = FIRST_LOOK_NS;
    int r = note_all(procfs, pid, &stillness, why);

    for (unsigned i = 1; i < LOOKS && r == OUTCOME_TORN; i++, wait *= 2) {
        clock_sleep_ns(wait);
        r = note_all(procfs, pid, &stillness, why);
    }
    if (r)
        stillness_free(&stillness);
    else
        *ret = stillness;
    return r;
}

void stillness_free(struct stillness *stillness)
{
    free(stillness->items);
    *stillness = (struct stillness){0};
}

bool stillness_held(const struct stillness *stillness, const struct target *target)
{
    if (!target->stopped || target->thread_count != stillness->count)
        return false;
    for (size_t i = 0; i < stillness->count; i++) {
        const struct still_thread *before = &stillness->items[i];
        uint64_t arrivals;

        if (target->threads[i].tid != before->tid ||
            read_arrivals(target->procfs, target->pid, before->tid, &arrivals) != 0 ||
            arrivals != before->arrivals + 1)
            return false;
    }
    return true;
}
