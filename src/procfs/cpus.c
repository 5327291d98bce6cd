#include "procfs/cpus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/cgroup-place.h"
#include "procfs/parse.h"

enum { CPUS_MOST = 1 << 16 };

/* "0-3,8,10-11": how many; 0 for what cannot be understood. */
static unsigned count_list(struct text list)
{
    uint64_t count = 0, first, last;

    do {
        if (!text_decimal(&list, &first))
            return 0;
        last = first;
        if (text_char(&list, '-') && !text_decimal(&list, &last))
            return 0;
        if (last < first || last - first >= CPUS_MOST)
            return 0;
        count += last - first + 1;
    } while (text_char(&list, ','));
    return text_length(list) == 0 && count <= CPUS_MOST ? (unsigned)count : 0;
}

static unsigned read_online(const struct procfs *procfs)
{
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;

    if (procfs_read(procfs, &buffer, &length, "sys/devices/system/cpu/online") < 0)
        return 0;
    text = (struct text){buffer, buffer + length};
    return text_line(&text, &line) ? count_list(line) : 0;
}

static unsigned read_allowed(const struct procfs *procfs, pid_t pid)
{
    static const char key[] = "Cpus_allowed_list:";
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;

    if (procfs_read(procfs, &buffer, &length, "proc/%d/status", pid) < 0)
        return 0;
    text = (struct text){buffer, buffer + length};
    while (text_line(&text, &line)) {
        if (!text_starts(line, key))
            continue;
        line.at += sizeof key - 1;
        text_skip_blanks(&line);
        return count_list(line);
    }
    return 0;
}

struct quota {
    uint64_t quota_us, period_us; /* 0: none */
};

/* cpu.max: "max 100000" or "150000 100000". */
static struct quota quota_v2(const struct procfs *procfs, const char *directory)
{
    auto_free char *buffer = NULL;
    struct quota quota = {0, 0};
    struct text text;
    size_t length;

    if (procfs_read(procfs, &buffer, &length, "%s/cpu.max", directory) < 0)
        return quota;
    text = (struct text){buffer, buffer + length};
    if (!text_decimal(&text, &quota.quota_us))
        return (struct quota){0, 0};
    text_skip_blanks(&text);
    return text_decimal(&text, &quota.period_us) ? quota : (struct quota){0, 0};
}

/* cpu.cfs_quota_us: -1, which is no number here, for none. */
static struct quota quota_v1(const struct procfs *procfs, const char *directory)
{
    unsigned long quota, period;

    if (procfs_read_u64(procfs, &quota, "%s/cpu.cfs_quota_us", directory) < 0 ||
        procfs_read_u64(procfs, &period, "%s/cpu.cfs_period_us", directory) < 0)
        return (struct quota){0, 0};
    return (struct quota){quota, period};
}

/* The kernel allows a second's period and some days of quota (tg_set_cfs_bandwidth). */
static bool is_limit(struct quota quota)
{
    return quota.quota_us && quota.period_us && quota.quota_us < UINT32_MAX * UINT64_C(1000) &&
           quota.period_us <= 1000000;
}

static bool is_lower(struct quota quota, const struct cpus *than)
{
    return than->period_us == 0 ||
           quota.quota_us * than->period_us < than->quota_us * quota.period_us;
}

static void read_quota(const struct procfs *procfs, struct cgroup_place *place, struct cpus *cpus)
{
    do {
        struct quota quota = place->version == 2 ? quota_v2(procfs, place->directory)
                                                 : quota_v1(procfs, place->directory);

        if (!is_limit(quota) || !is_lower(quota, cpus))
            continue;
        cpus->quota_us = quota.quota_us;
        cpus->period_us = quota.period_us;
    } while (cgroup_parent(place));
}

int cpus_read(const struct procfs *procfs, pid_t pid, struct cpus *ret)
{
    auto_free struct cgroup_place *place = malloc(sizeof *place);
    struct cpus cpus = {0};
    int r;

    if (!place)
        return -ENOMEM;
    cpus.online = read_online(procfs);
    cpus.allowed = read_allowed(procfs, pid);
    r = cgroup_find(procfs, pid, "cpu", place, NULL);
    if (r == 0 && place->visible)
        read_quota(procfs, place, &cpus);
    if (r == -ENOMEM)
        return r;
    *ret = cpus;
    return 0;
}

uint64_t cpus_usable_hundredths(const struct cpus *cpus)
{
    uint64_t run_on = 100 * (uint64_t)(cpus->allowed ? cpus->allowed : cpus->online);
    uint64_t quota = cpus->period_us ? 100 * cpus->quota_us / cpus->period_us : 0;

    if (cpus->period_us == 0)
        return run_on;
    if (quota == 0)
        quota = 1;
    return run_on && run_on < quota ? run_on : quota;
}
