/*
 * /proc/PID/smaps and smaps_rollup: exact, but the kernel walks the page tables for every read
 * (about 9 ms a GiB of 4 KiB pages), holding mmap_lock for reading. Read where nothing cheaper tells.
 */
#pragma once

#include "procfs/maps.h"

struct smaps_rollup {
    uint64_t rss_bytes, pss_bytes;
    uint64_t shared_clean_bytes, shared_dirty_bytes, private_clean_bytes, private_dirty_bytes;
    uint64_t anonymous_bytes, lazyfree_bytes, anon_huge_bytes, shmem_huge_bytes, file_huge_bytes;
    uint64_t hugetlb_bytes; /* Shared_Hugetlb + Private_Hugetlb; not in rss_bytes */
    uint64_t swap_bytes, locked_bytes;
};

/* Bytes everywhere. -ESRCH vanished or without memory, -EACCES not permitted. Falls back to summing smaps where smaps_rollup does not exist (before 4.14). */
int smaps_rollup_read(const struct procfs *procfs, pid_t pid, struct smaps_rollup *ret, struct why *why)
    must_check;

/* What smaps says of one mapping. */
struct smaps_entry {
    struct range range;
    uint64_t rss_bytes, anonymous_bytes, anon_huge_bytes, swap_bytes, shared_dirty_bytes;
    uint64_t private_hugetlb_bytes;
    uint64_t hugetlb_bytes; /* private and shared; not in rss_bytes */
    bool locked, hugetlb, pfn_mapped, thp_advised, thp_refused, userfaultfd; /* VmFlags lo ht pf hg nh um/uw/ui */
    bool tagged, shadow_stack; /* mt (arm64 memory tags), ss */
};

/*
 * Calls `each` for every mapping in order; it stops early when `each` returns non-zero, and that is returned.
 * Negative errno otherwise: as maps_read; -EBADMSG for text that cannot be understood. Memory does not grow with
 * the number of mappings.
 */
int smaps_each(const struct procfs *procfs, pid_t pid,
               int (*each)(void *context, const struct smaps_entry *entry), void *context, struct why *why)
    must_check;
int smaps_parse(const char *text, size_t length,
                int (*each)(void *context, const struct smaps_entry *entry), void *context, struct why *why)
    must_check;

/*
 * Fills locked, hugetlb and pfn_mapped of `maps` from smaps' VmFlags, by address: mappings that changed since
 * `maps` was read get the flags of all that lie there now. Negative errno, and then the flags of some may be missing.
 */
int smaps_read_flags(const struct procfs *procfs, pid_t pid, struct maps *maps, struct why *why) must_check;
