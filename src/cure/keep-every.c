#include "cure/keep-every.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/range.h"
#include "base/vector.h"
#include "cure/keep-cost.h"
#include "cure/reclaim.h"
#include "inject/journal.h"

enum { PUT_OFF_MOST = 16, NAP_MS = 200 };
#define LEAST_BYTES    (UINT64_C(1) << 20) /* of less nobody is to be stopped */
#define PRESSED_GAP_NS (5 * NS_PER_S) /* between two rounds, however much the kernel is pressed */

/* Windows must be multiples of 2 s without CAP_SYS_RESOURCE (psi_trigger_create). */
static const char trigger[] = "some 150000 2000000";

struct rounds {
    const struct procfs *procfs;
    const struct keep_options *options;
    const struct process_identity *identity;
    struct keeping *out;
    int pressure;                           /* descriptor; -1: none */
    uint64_t returned, rss_after, ended_ns; /* of the last round */
    struct page_faults faults_after;        /* at its end */
};

uint64_t keep_every_next(uint64_t base_ns, uint64_t now_ns, uint64_t returned_bytes,
                         uint64_t back_bytes)
{
    if (returned_bytes && back_bytes < returned_bytes / 2)
        return base_ns;
    return now_ns > base_ns * PUT_OFF_MOST / 2 ? base_ns * PUT_OFF_MOST : now_ns * 2;
}

static int open_trigger(const struct procfs *procfs, const char *path)
{
    auto_close int fd = openat(procfs->root_fd, path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int r = fd;

    if (fd < 0 || write(fd, trigger, sizeof trigger) < 0)
        return -1;
    fd = -1;
    return r;
}

static int open_pressure(const struct rounds *rounds, const char **ret_where)
{
    struct cgroup_memory group;
    char path[PATH_MAX + 32];
    int fd = -1;

    if (cgroup_memory_read(rounds->procfs, rounds->out->pid, &group, NULL) == 0 &&
        group.version == 2 && group.charge_path[0]) {
        snprintf(path, sizeof path, "%s/memory.pressure", group.charge_path);
        fd = open_trigger(rounds->procfs, path);
    }
    *ret_where = fd >= 0 ? "cgroup" : NULL;
    if (fd < 0) {
        fd = open_trigger(rounds->procfs, "proc/pressure/memory");
        *ret_where = fd >= 0 ? "system" : NULL;
    }
    return fd;
}

/* One that has ended may not have been waited for yet: then it has no memory. */
static bool is_same(const struct rounds *rounds)
{
    struct process_identity now;
    struct process_status status;

    process_identity_read(rounds->procfs, rounds->out->pid, &now);
    return now.known && now.start_ticks == rounds->identity->start_ticks &&
           status_read(rounds->procfs, rounds->out->pid, &status, NULL) == 0 && status.has_memory;
}

static bool is_over(const struct rounds *rounds)
{
    return cure_is_interrupted(&rounds->options->limits) || !is_same(rounds);
}

static void log_round(void *context, const struct reclamation *prediction)
{
    const struct procfs *procfs = context;

    journal_write(procfs, "keep: process %d (%s): gives back %s", (int)prediction->pid,
                  prediction->comm, format_bytes(reclamation_predicted(prediction)).text);
}

static void note_round(struct rounds *rounds, const struct reclamation *done)
{
    struct keep_every_totals *totals = &rounds->out->every;

    rounds->returned = reclamation_returned(done);
    rounds->rss_after = done->rss_after_bytes;
    totals->rounds++;
    totals->returned_bytes += rounds->returned;
    totals->pauses.count += done->pauses.count;
    totals->pauses.total_ns += done->pauses.total_ns;
    if (done->pauses.longest_ns > totals->pauses.longest_ns)
        totals->pauses.longest_ns = done->pauses.longest_ns;
}

/* What cannot be done now may be possible next time, but for the first: then it never was. */
static int run_round(struct rounds *rounds, struct why *why)
{
    struct reclaim_options options = {
        .cures = (1u << CURES) - 1, .least_bytes = LEAST_BYTES, .limits = rounds->options->limits};
    struct reclamation done;
    int r = reclaim(rounds->procfs, rounds->out->pid, &options, log_round, (void *)rounds->procfs,
                    &done, why);

    rounds->returned = 0;
    if (r == 0) {
        note_round(rounds, &done);
        reclamation_free(&done);
    }
    if (page_faults_read(rounds->procfs, rounds->out->pid, &rounds->faults_after, NULL))
        rounds->faults_after = (struct page_faults){0};
    rounds->ended_ns = clock_now_ns();
    return r;
}

/* Whether the kernel is pressed. A group that was removed tells no more (POLLERR). */
static bool wait_for_pressure(struct rounds *rounds, uint64_t ns)
{
    int most = ns / NS_PER_MS < NAP_MS ? (int)(ns / NS_PER_MS) + 1 : NAP_MS;
    struct pollfd poller = {.fd = rounds->pressure, .events = POLLPRI};

    if (poll(&poller, 1, most) <= 0)
        return false;
    if (poller.revents & (POLLERR | POLLNVAL)) {
        close(rounds->pressure);
        rounds->pressure = -1;
        return false;
    }
    return poller.revents & POLLPRI;
}

static void wait_for_next(struct rounds *rounds, uint64_t interval_ns)
{
    bool pressed = false;

    while (!is_over(rounds)) {
        uint64_t passed = clock_now_ns() - rounds->ended_ns;

        if (passed >= interval_ns || (pressed && passed >= PRESSED_GAP_NS))
            break;
        progress_tell(&rounds->options->limits.progress, "waiting", passed, interval_ns);
        pressed |= wait_for_pressure(rounds, interval_ns - passed);
    }
    rounds->out->every.pressures += pressed;
}

/* What of the last round's is in use again: as much as was faulted in since, and as RSS grew. */
static uint64_t came_back(const struct rounds *rounds)
{
    struct process_status status;
    struct page_faults faults;
    uint64_t faulted, grew;

    if (page_faults_read(rounds->procfs, rounds->out->pid, &faults, NULL) ||
        status_read(rounds->procfs, rounds->out->pid, &status, NULL))
        return 0;
    faulted =
        (faults.minor + faults.major - rounds->faults_after.minor - rounds->faults_after.major) *
        PAGE_BYTES;
    grew = status.vm_rss_bytes > rounds->rss_after ? status.vm_rss_bytes - rounds->rss_after : 0;
    grew = grew < faulted ? grew : faulted;
    return grew < rounds->returned ? grew : rounds->returned;
}

static void run_on(struct rounds *rounds)
{
    struct keep_every_totals *totals = &rounds->out->every;

    while (!is_over(rounds)) {
        uint64_t back;
        int r;

        wait_for_next(rounds, totals->interval_ns);
        back = came_back(rounds);
        totals->back_bytes += back;
        totals->interval_ns =
            keep_every_next(rounds->options->every_ns, totals->interval_ns, rounds->returned, back);
        if (is_over(rounds))
            return;
        r = run_round(rounds, NULL);
        totals->failures += r != 0;
    }
}

int keep_every(const struct procfs *procfs, const struct keep_options *options,
               const struct process_identity *identity, struct keeping *out)
{
    struct rounds rounds = {.procfs = procfs, .options = options, .identity = identity, .out = out};
    struct keep_refusal refusal = {.what = "every"};
    uint64_t began = clock_now_ns();

    out->every.interval_ns = options->every_ns;
    refusal.error = run_round(&rounds, &refusal.reason);
    if (refusal.error && is_same(&rounds))
        return vector_push(&out->refusals, refusal);
    rounds.pressure = open_pressure(&rounds, &out->every.pressure_of);
    run_on(&rounds);
    if (rounds.pressure >= 0)
        close(rounds.pressure);
    out->every.ran_ns = clock_now_ns() - began;
    out->every.process_ended = !is_same(&rounds);
    return 0;
}
