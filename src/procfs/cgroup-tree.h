/* A cgroup that somebody names, and all processes in it and below. */
#pragma once

#include <limits.h>

#include "procfs/cgroup.h"

struct named_cgroup {
    int version;              /* of its hierarchy: 1 or 2 */
    bool counts_memory;       /* it is the memory controller's hierarchy */
    char path[PATH_MAX];      /* as /proc/PID/cgroup names it */
    char directory[PATH_MAX]; /* below the root */
};

/*
 * Finds a cgroup by its directory ("/sys/fs/cgroup/system.slice/x") or as /proc/PID/cgroup names it
 * ("/system.slice/x"); what exists in several hierarchies is the memory controller's. -ENOENT: there is none;
 * OUTCOME_NOT_POSSIBLE: it is no cgroup, or a threaded one, which has no processes of its own.
 */
int cgroup_find_named(const struct procfs *procfs, const char *name, struct named_cgroup *ret, struct why *why) must_check;

/*
 * Ids of the processes of the cgroup and its descendants, ascending, each once, in fresh memory; the caller frees.
 * `ret_foreign`: how many are in no PID namespace that is seen from here, and so have no id. Cgroups that go meanwhile
 * have none.
 */
int cgroup_processes(const struct procfs *procfs, const struct named_cgroup *place, pid_t **ret_pids,
                     size_t *ret_count, size_t *ret_foreign, struct why *why) must_check;

/* What is charged to a cgroup and its descendants, by kind. Bytes. */
struct cgroup_usage {
    struct cgroup_memory memory;  /* charge, limit and room */
    bool parts_known;             /* memory.stat could be read */
    uint64_t anon_bytes;          /* mapped anonymous memory */
    uint64_t file_bytes;          /* page cache, shared memory included */
    uint64_t shmem_bytes;         /* of it: shmem, tmpfs */
    uint64_t mapped_file_bytes;   /* of file_bytes: mapped, and so in somebody's RSS */
    bool kernel_known;
    uint64_t kernel_bytes;
};

/* Of a place that counts memory; of others nothing is known. Negative errno only when memory is short or mountinfo makes no sense. */
int cgroup_usage_read(const struct procfs *procfs, const struct named_cgroup *place, struct cgroup_usage *ret,
                      struct why *why) must_check;

/* Page cache and shared memory that is charged and not mapped, so in nobody's RSS. */
uint64_t cgroup_unmapped_file_bytes(const struct cgroup_usage *usage);

/*
 * What of the charge no part names: the kernel's statistics lag behind the charge, which is taken in batches, and of
 * huge pages that are mapped in part the whole is charged.
 */
uint64_t cgroup_unnamed_bytes(const struct cgroup_usage *usage);
