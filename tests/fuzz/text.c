/*
 * status, stat, cgroup, mountinfo, auxv and the small files: the first byte says which, the parts
 * of the input are the files. Whatever they hold, what is told of them keeps to what the headers
 * promise.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "procfs/cgroup.h"
#include "procfs/container.h"
#include "procfs/cpus.h"
#include "procfs/environ.h"
#include "procfs/identity.h"
#include "procfs/maps.h"
#include "procfs/mountinfo.h"
#include "procfs/status.h"
#include "procfs/thp.h"

/* What `path` holds for this input: its next part. */
static void file_of_part(const char *path, struct fuzz_part *rest)
{
    struct fuzz_part part = fuzz_next_part(rest);

    fuzz_tree_file(path, part.data, part.size);
}

static uint64_t sum_of_figures(const struct process_status *status)
{
    return status->vm_rss_bytes | status->rss_anon_bytes | status->rss_file_bytes |
           status->rss_shmem_bytes | status->vm_swap_bytes | status->vm_pte_bytes |
           status->vm_locked_bytes | status->vm_pinned_bytes | status->vm_hwm_bytes |
           status->hugetlb_bytes;
}

static void check_status(struct fuzz_part rest)
{
    struct process_status status;
    struct why why = {{0}};
    int r;

    file_of_part("proc/1/status", &rest);
    file_of_part("proc/1/stat", &rest);
    r = status_read(fuzz_tree(), 1, &status, &why);
    fuzz_check_failure(r, &why, 0, 0);
    if (r)
        return;
    fuzz_check(memchr(status.comm, '\0', sizeof status.comm));
    fuzz_check(status.tgid >= 0 && status.ppid >= 0 && status.tracer_pid >= 0 &&
               status.threads <= INT_MAX);
    fuzz_check(status.has_memory || sum_of_figures(&status) == 0);
    fuzz_check(sum_of_figures(&status) % 1024 == 0);
    fuzz_check(status.thp_enabled >= -1 && status.thp_enabled <= 1);
}

/* Which hierarchy has the files: the same names are asked for whatever mountinfo says. */
static void cgroup_files(struct fuzz_part *rest)
{
    file_of_part("proc/1/cgroup", rest);
    file_of_part("proc/self/mountinfo", rest);
    file_of_part("cg/a/memory.current", rest);
    file_of_part("cg/a/memory.max", rest);
    file_of_part("cg/cgroup.controllers", rest);
    file_of_part("v1/a/memory.usage_in_bytes", rest);
    file_of_part("v1/a/memory.limit_in_bytes", rest);
    file_of_part("v1/a/memory.stat", rest);
    file_of_part("v1/memory.limit_in_bytes", rest);
}

static void check_cgroup(struct fuzz_part rest)
{
    struct cgroup_memory cgroup;
    struct why why = {{0}};
    int r;

    cgroup_files(&rest);
    r = cgroup_memory_read(fuzz_tree(), 1, &cgroup, &why);
    fuzz_check_failure(r, &why, 0, 0);
    if (r)
        return;
    fuzz_check(cgroup.version >= 0 && cgroup.version <= 2);
    fuzz_check(memchr(cgroup.path, '\0', sizeof cgroup.path));
    fuzz_check(memchr(cgroup.charge_path, '\0', sizeof cgroup.charge_path));
    fuzz_check(cgroup.version ? cgroup.path[0] == '/' : !cgroup.path[0]);
    fuzz_check(cgroup.charge_known == (cgroup.charge_path[0] != 0));
    fuzz_check(cgroup.charge_known || cgroup.limit_bytes == CGROUP_NO_LIMIT);
}

static int check_mount(void *context, const struct mount *mount)
{
    size_t *length = context;

    *length += strlen(mount->root) + strlen(mount->point) + strlen(mount->type) +
               strlen(mount->super_options);
    return 0;
}

static void check_mountinfo(struct fuzz_part rest)
{
    struct shmem_devices devices;
    struct why why = {{0}};
    size_t length = 0;
    int r;

    file_of_part("proc/1/mountinfo", &rest);
    r = mountinfo_each(fuzz_tree(), "1", check_mount, &length, &why);
    fuzz_check_failure(r, &why, 0, 0);
    fuzz_check((shmem_devices_read(fuzz_tree(), 1, &devices) == 0) == (r == 0));
    if (r)
        return;
    for (size_t i = 0; i < devices.count; i++)
        for (size_t k = 0; k < i; k++)
            fuzz_check(devices.items[i] != devices.items[k]);
    shmem_devices_free(&devices);
}

static void check_thp(struct fuzz_part rest)
{
    static const char directory[] = "sys/kernel/mm/transparent_hugepage/";
    static char enabled[128], none[128];
    struct thp_settings settings;
    int r;

    snprintf(enabled, sizeof enabled, "%senabled", directory);
    snprintf(none, sizeof none, "%skhugepaged/max_ptes_none", directory);
    file_of_part(enabled, &rest);
    file_of_part(none, &rest);
    r = thp_settings_read(fuzz_tree(), &settings);
    fuzz_check(r == 0 || r == -EBADMSG);
    if (r == 0)
        fuzz_check(settings.enabled[0] && memchr(settings.enabled, '\0', sizeof settings.enabled));
}

static void check_cpus(struct fuzz_part rest)
{
    struct cpus cpus;

    file_of_part("proc/1/status", &rest);
    file_of_part("sys/devices/system/cpu/online", &rest);
    file_of_part("proc/1/cgroup", &rest);
    file_of_part("proc/self/mountinfo", &rest);
    file_of_part("cg/a/cpu.max", &rest);
    file_of_part("cg/cpu.max", &rest);
    file_of_part("v1/a/cpu.cfs_quota_us", &rest);
    file_of_part("v1/a/cpu.cfs_period_us", &rest);
    fuzz_check(cpus_read(fuzz_tree(), 1, &cpus) == 0);
    fuzz_check((cpus.quota_us == 0) == (cpus.period_us == 0));
    fuzz_check(cpus_usable_hundredths(&cpus) > 0 || cpus.online + cpus.allowed == 0);
}

static void check_names(struct fuzz_part rest)
{
    struct process_identity identity;
    struct container container;
    struct range range;
    struct why why = {{0}};
    bool secure;
    int r;

    file_of_part("proc/1/cgroup", &rest);
    file_of_part("proc/1/stat", &rest);
    file_of_part("proc/sys/kernel/random/boot_id", &rest);
    file_of_part("proc/1/auxv", &rest);
    r = container_read(fuzz_tree(), 1, &container, &why);
    fuzz_check_failure(r, &why, 0, 0);
    fuzz_check(r || memchr(container.name, '\0', sizeof container.name));
    process_identity_read(fuzz_tree(), 1, &identity);
    fuzz_check(memchr(identity.boot_id, '\0', sizeof identity.boot_id));
    fuzz_check(!identity.known || identity.boot_id[0]);
    r = environ_range(fuzz_tree(), 1, &range, &why);
    fuzz_check_failure(r, &why, -EACCES, 0);
    fuzz_check(r || (range.start <= range.end && range_length(range) <= ENVIRON_BYTES));
    (void)!process_is_secure(fuzz_tree(), 1, &secure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {data + 1, size - 1};

    if (size == 0)
        return -1;
    switch (data[0]) {
    case 's':
        check_status(rest);
        return 0;
    case 'c':
        check_cgroup(rest);
        return 0;
    case 'm':
        check_mountinfo(rest);
        return 0;
    case 'p':
        check_cpus(rest);
        return 0;
    case 'n':
        check_names(rest);
        return 0;
    case 't':
        check_thp(rest);
        return 0;
    }
    return -1;
}
