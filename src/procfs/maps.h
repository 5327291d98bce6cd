/* The mappings of a process, from /proc/PID/maps. */
#pragma once

#include <stdint.h>

#include "base/range.h"
#include "procfs/procfs.h"

struct vma {
    struct range range;
    bool readable, writable, executable;
    bool shared;        /* MAP_SHARED */
    bool locked;        /* VM_LOCKED; filled by smaps_read_flags only */
    bool hugetlb;       /* hugetlbfs pages: resident, but no part of RSS; filled by smaps_read_flags (worth asking when
                           status has HugetlbPages); before, only anonymous ones are known, by their name */
    bool pfn_mapped;    /* VM_PFNMAP: no page behind it counts; filled by smaps_read_flags only */
    uint64_t offset;    /* into the file, bytes */
    uint32_t dev_major, dev_minor;
    uint64_t inode;     /* 0: anonymous */
    const char *name;   /* path, "[heap]", "[stack]", "[anon:...]" or "", unescaped; owned by struct maps */
    bool deleted;       /* the path ended in " (deleted)", which `name` no longer carries */
};

struct maps {
    struct vma *items; /* ascending, not overlapping */
    size_t count, capacity;
    char *text;        /* the names live here */
};

/*
 * Reads the mappings of `pid`. Release with maps_free. Negative errno: -ESRCH vanished, -EACCES not
 * permitted, -EBADMSG when a line cannot be understood (the sentence quotes it). A process without memory
 * (zombie, exiting, kernel thread) is -ESRCH too, and the sentence says which.
 */
int maps_read(const struct procfs *procfs, pid_t pid, struct maps *ret_maps, struct why *why) must_check;

/* The same from a text in memory (any bytes, hostile ones too); `length` excludes any NUL. */
int maps_parse(const char *text, size_t length, struct maps *ret_maps, struct why *why) must_check;
void maps_free(struct maps *maps);

/* The mapping that holds `address`, or NULL. Logarithmic. */
const struct vma *maps_find(const struct maps *maps, remote_addr address);

/* Index of the first mapping that ends above `address` (maps->count if none). */
size_t maps_index_above(const struct maps *maps, remote_addr address);

/* Private and backed by no file: where heaps can lie. [heap] and [stack] are anonymous too. */
bool vma_is_anonymous(const struct vma *vma);

/*
 * Kernel-made ([vvar], [vdso], [vsyscall], ...). A touched page of [vdso] counts as RssFile like any
 * page of a file; nothing in the others counts as resident.
 */
bool vma_is_special(const struct vma *vma);

/*
 * Whether pages of this file mapping count as RssShmem: memfd, SysV, shared anonymous memory, and files on a
 * tmpfs (whose devices `shmem_devices_read` found; -EBADMSG for a mountinfo that cannot be understood).
 * memfd_secret counts as file. Files of an overlay whose upper layer is a tmpfs are not recognised.
 */
struct shmem_devices {
    uint64_t *items; /* major << 32 | minor */
    size_t count, capacity;
};
int shmem_devices_read(const struct procfs *procfs, pid_t pid, struct shmem_devices *ret) must_check;
void shmem_devices_free(struct shmem_devices *devices);
bool vma_is_shmem(const struct vma *vma, const struct shmem_devices *devices);
