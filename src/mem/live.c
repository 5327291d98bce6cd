#include "mem/live.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* 512 KiB a call: measured to be as fast as it gets; larger ones fall out of the cache. */
enum { RUN_PAGES = 128 };

enum { GATHER_PIECES = 1024 }; /* UIO_MAXIOV */

enum way {
    WAY_NONE,   /* nothing to read, or not to be read: zeros */
    WAY_READV,  /* process_vm_readv: the fastest */
    WAY_MEM_FD, /* /proc/PID/mem */
};

/*
 * process_vm_readv pins what it reads, and since Linux 5.19 (a7f226604170) a pin first un-shares
 * anonymous pages that a fork maps too: each would be copied. /proc/PID/mem takes a plain reference
 * and leaves them shared.
 */
static enum way way_to_read(const struct live_memory *live, uint8_t flags)
{
    if ((flags & (PAGE_PRESENT | PAGE_ZERO)) != PAGE_PRESENT)
        return WAY_NONE;
    if (live->only_mem_fd || (flags & PAGE_FILE) || !(flags & PAGE_EXCLUSIVE))
        return WAY_MEM_FD;
    return WAY_READV;
}

static int gone(const struct live_memory *live, struct why *why)
{
    return why_set(why, -ESRCH, "process %d has exited, or runs another program now",
                   (int)live->pid);
}

/* Reads pages from the front of a run; how many, or -ESRCH. A failure that has other reasons is 0.
 */
static ssize_t read_by_readv(struct live_memory *live, remote_addr start, size_t count,
                             void *buffer, struct why *why)
{
    struct iovec local = {buffer, count * PAGE_BYTES};
    /* Never followed here: the kernel takes it as an address in the target. */
    struct iovec remote = {(void *)(uintptr_t)start, count * PAGE_BYTES};
    ssize_t n = process_vm_readv(live->pid, &local, 1, &remote, 1, 0);

    if (n < 0 && errno == ESRCH)
        return gone(live, why);
    return n < 0 ? 0 : n / (ssize_t)PAGE_BYTES;
}

static ssize_t read_by_mem_fd(struct live_memory *live, remote_addr start, size_t count,
                              void *buffer, struct why *why)
{
    ssize_t n;

    do {
        n = pread(live->mem_fd, buffer, count * PAGE_BYTES, (off_t)start);
    } while (n < 0 && errno == EINTR);
    if (n == 0) /* the end of the file: the memory it was opened on is no more */
        return gone(live, why);
    return n < 0 ? 0 : n / (ssize_t)PAGE_BYTES;
}

/* How much of the run may still be read this way, as far as the process is free to change that. */
static ssize_t still_readable(const struct live_memory *live, enum way way, remote_addr start,
                              size_t count)
{
    return live->running ? pages_still_present(&live->pages, start, count, way == WAY_READV)
                         : (ssize_t)count;
}

static ssize_t read_by(struct live_memory *live, enum way way, remote_addr start, size_t count,
                       void *buffer, struct why *why)
{
    ssize_t n = still_readable(live, way, start, count);

    if (n <= 0)
        return n < 0 ? gone(live, why) : 0;
    return (way == WAY_READV ? read_by_readv : read_by_mem_fd)(live, start, (size_t)n, buffer, why);
}

/*
 * A run of pages that are read the same way. What process_vm_readv refuses (PROT_NONE: EFAULT) may
 * still be read through mem_fd, which forces its way; what both refuse is guarded, secret or a
 * device's, or has gone meanwhile.
 */
static int read_run(struct live_memory *live, enum way way, remote_addr start, size_t count,
                    uint8_t *flags, uint8_t *buffer, struct why *why)
{
    size_t done = 0;

    while (done < count) {
        ssize_t n = read_by(live, way, start + done * PAGE_BYTES, count - done,
                            buffer + done * PAGE_BYTES, why);

        if (n < 0)
            return (int)n;
        done += (size_t)n;
        if (n > 0)
            continue;
        if (way == WAY_READV) {
            way = WAY_MEM_FD;
            continue;
        }
        flags[done] |= PAGE_UNREADABLE;
        memset(buffer + done * PAGE_BYTES, 0, PAGE_BYTES);
        done++;
    }
    return 0;
}

static size_t run_length(const struct live_memory *live, const uint8_t *flags, size_t count)
{
    enum way way = way_to_read(live, flags[0]);
    size_t length = 1;

    while (length < count && length < RUN_PAGES && way_to_read(live, flags[length]) == way)
        length++;
    return length;
}

static int live_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                           void *buffer, struct why *why)
{
    struct live_memory *live = (struct live_memory *)memory;
    uint8_t *out = buffer;

    for (size_t i = 0, length; i < count; i += length) {
        enum way way = way_to_read(live, flags[i]);
        int r;

        length = run_length(live, flags + i, count - i);
        if (way == WAY_NONE) {
            memset(out + i * PAGE_BYTES, 0, length * PAGE_BYTES);
            continue;
        }
        r = read_run(live, way, start + i * PAGE_BYTES, length, flags + i, out + i * PAGE_BYTES,
                     why);
        if (r)
            return r;
    }
    return 0;
}

static int live_page_flags(struct memory *memory, remote_addr start, size_t count,
                           uint8_t *ret_flags, struct why *why)
{
    return pages_flags(&((struct live_memory *)memory)->pages, start, count, ret_flags, why);
}

/* Through mem_fd, which takes no pin: what is shared stays so. */
static int gather_singly(struct live_memory *live, struct memory_piece *piece, struct why *why)
{
    remote_addr start = align_down(piece->address, PAGE_BYTES);
    size_t pages =
        (size_t)(align_up(piece->address + piece->length, PAGE_BYTES) - start) / PAGE_BYTES;
    ssize_t n;

    piece->ok = false;
    if (live->running && pages_still_present(&live->pages, start, pages, false) != (int)pages)
        return 0;
    do {
        n = pread(live->mem_fd, piece->to, piece->length, (off_t)piece->address);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return gone(live, why);
    piece->ok = n == (ssize_t)piece->length;
    return 0;
}

/* How many pieces from the front one call reads, perhaps 0; negative errno. */
static int gather_some(struct live_memory *live, struct memory_piece *pieces, int count,
                       struct why *why)
{
    struct iovec local[GATHER_PIECES], remote[GATHER_PIECES];
    ssize_t left;
    int done = 0;

    if (count < 1)
        return 0;
    for (int i = 0; i < count; i++) {
        local[i] = (struct iovec){pieces[i].to, pieces[i].length};
        remote[i] = (struct iovec){(void *)(uintptr_t)pieces[i].address, pieces[i].length};
    }
    left =
        process_vm_readv(live->pid, local, (unsigned long)count, remote, (unsigned long)count, 0);
    if (left < 0 && errno == ESRCH)
        return gone(live, why);
    while (done < count && left >= (ssize_t)pieces[done].length) {
        left -= (ssize_t)pieces[done].length;
        pieces[done++].ok = true;
    }
    return done;
}

/* How many pieces from the front lie in pages that are this process' alone, and still are. */
static int gatherable(const struct live_memory *live, const struct memory_piece *pieces, int count)
{
    int i = 0;

    for (; i < count && pieces[i].exclusive && !live->only_mem_fd; i++) {
        remote_addr start = align_down(pieces[i].address, PAGE_BYTES);
        remote_addr end = align_up(pieces[i].address + pieces[i].length, PAGE_BYTES);
        size_t pages = (size_t)(end - start) / PAGE_BYTES;

        if (live->running && pages_still_present(&live->pages, start, pages, true) != (int)pages)
            break;
    }
    return i;
}

static int live_gather(struct memory *memory, struct memory_piece *pieces, size_t count,
                       struct why *why)
{
    struct live_memory *live = (struct live_memory *)memory;

    for (size_t i = 0; i < count;) {
        int most = count - i < GATHER_PIECES ? (int)(count - i) : GATHER_PIECES;
        int fit = gatherable(live, pieces + i, most);
        int r = gather_some(live, pieces + i, fit, why);

        if (r < 0)
            return r;
        i += (size_t)r;
        if (r == most)
            continue;
        r = gather_singly(live, &pieces[i++], why); /* shared, or refused */
        if (r)
            return r;
    }
    return 0;
}

/* Container run-times' filters refuse the call whatever it asks for; asking for nothing touches
 * nothing. */
static bool readv_is_refused(pid_t pid)
{
    return process_vm_readv(pid, NULL, 0, NULL, 0, 0) < 0;
}

int live_memory_open(struct live_memory *ret, const struct procfs *procfs, pid_t pid,
                     struct why *why)
{
    static const struct memory_ops ops = {live_page_flags, live_read_pages, live_gather};
    struct live_memory live = {.memory.ops = &ops, .pid = pid};
    int r;

    live.mem_fd = procfs_open_file(procfs, "proc/%d/mem", (int)pid);
    if (live.mem_fd == -ENOENT || live.mem_fd == -ESRCH)
        return why_set(why, -ESRCH, "there is no process %d", (int)pid);
    if (live.mem_fd < 0)
        return why_set(why, live.mem_fd,
                       "the memory of process %d may not be read (%s): be its user or root, with "
                       "CAP_SYS_PTRACE",
                       (int)pid, strerror(-live.mem_fd));
    r = page_source_open(procfs, pid, &live.pages, why);
    if (r) {
        close(live.mem_fd);
        return r;
    }
    live.only_mem_fd = readv_is_refused(pid);
    *ret = live;
    return 0;
}

bool live_memory_is_gone(const struct live_memory *live)
{
    const off_t nowhere =
        INT64_MAX - (off_t)PAGE_BYTES; /* in nobody's memory: EIO while it lives */
    char byte;

    return pread(live->mem_fd, &byte, 1, nowhere) == 0;
}

void live_memory_close(struct live_memory *live)
{
    page_source_close(&live->pages);
    if (live->mem_fd >= 0)
        close(live->mem_fd);
    live->mem_fd = -1;
}
