/* /proc/PID/status and what else names and describes a process. */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

struct process_status {
    char comm[64];
    char state;           /* R S D T t Z X I, of the thread group's leader */
    pid_t tgid, ppid, tracer_pid;
    uid_t uid;            /* effective */
    unsigned threads;
    bool kernel_thread;   /* has no memory of its own */
    bool has_memory;      /* false: kernel thread, zombie, or exiting; then all figures are 0 */
    uint64_t vm_rss_bytes, rss_anon_bytes, rss_file_bytes, rss_shmem_bytes;
    uint64_t vm_swap_bytes, vm_pte_bytes, vm_locked_bytes, vm_pinned_bytes, vm_hwm_bytes;
    uint64_t hugetlb_bytes; /* HugetlbPages */
    int thp_enabled;      /* 1, 0 (PR_SET_THP_DISABLE), or -1 where the kernel does not tell (before 5.0) */
};

/* Negative errno: -ESRCH when there is no such process. */
int status_read(const struct procfs *procfs, pid_t pid, struct process_status *ret, struct why *why) must_check;

/* /proc/PID/exe in fresh memory (" (deleted)" kept); the caller frees. Negative errno. */
int process_exe(const struct procfs *procfs, pid_t pid, char **ret_path) must_check;

struct page_faults {
    uint64_t minor, major; /* since it began, of all its threads */
};

/* From /proc/PID/stat. Negative errno; -ESRCH. */
int page_faults_read(const struct procfs *procfs, pid_t pid, struct page_faults *ret, struct why *why) must_check;
