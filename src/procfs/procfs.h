/*
 * The kernel's files, always through a root directory handle: "/" on a real system, a fake tree
 * in tests. Paths are relative to it ("proc/1/maps", "sys/fs/cgroup/...").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct procfs {
    int root_fd;
};

/* Opens `root` ("/" for the running system). Release with procfs_close. Negative errno. */
int procfs_open(struct procfs *ret_procfs, const char *root, struct why *why) must_check;
void procfs_close(struct procfs *procfs);

/* Opens a file below the root for reading (O_CLOEXEC). Returns a descriptor, or negative errno. */
int procfs_open_file(const struct procfs *procfs, const char *path_format, ...)
    printf_like(2, 3) must_check;

/* Whether this is a directory below the root. Opens nothing: what lies there may be a device or a pipe. */
bool procfs_is_directory(const struct procfs *procfs, const char *path);

/*
 * Reads a whole file below the root into fresh memory, NUL-terminated (the length excludes the NUL).
 * The caller frees *ret_text. Negative errno.
 */
int procfs_read(const struct procfs *procfs, char **ret_text, size_t *ret_length,
                const char *path_format, ...) printf_like(4, 5) must_check;

/* Reads a file that holds one unsigned number ("max" reads as UINT64_MAX). Negative errno; -EINVAL if it is no number. */
int procfs_read_u64(const struct procfs *procfs, unsigned long *ret_value, const char *path_format, ...)
    printf_like(3, 4) must_check;

/* The target of a symbolic link below the root, in fresh memory. The caller frees. Negative errno. */
int procfs_read_link(const struct procfs *procfs, char **ret_target, const char *path_format, ...)
    printf_like(3, 4) must_check;

/*
 * Thread ids in /proc/PID/task, in fresh memory, ascending. The caller frees *ret_tids.
 * Negative errno (-ENOENT or -ESRCH when the process has vanished).
 */
int procfs_list_tasks(const struct procfs *procfs, pid_t pid, pid_t **ret_tids, size_t *ret_count)
    must_check;

/* Ids of all processes, ascending, in fresh memory. The caller frees *ret_pids. Negative errno. */
int procfs_list_processes(const struct procfs *procfs, pid_t **ret_pids, size_t *ret_count) must_check;
