#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "inject/internal.h"
#include "procfs/status.h"

enum { BLOCK_PAGES = 32 };

static bool is_lasting_library(const char *name)
{
    static const char *const prefixes[] = {"libc.so", "libc-", "libc.musl", "ld-", "libpthread"};
    const char *base = strrchr(name, '/');

    for (size_t i = 0; base && i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(base + 1, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* What no dlclose takes away while a chain is under way. */
static bool is_lasting(const struct vma *vma, const char *program)
{
    if (!vma->readable || !vma->executable || vma->writable || vma->shared)
        return false;
    if (strcmp(vma->name, "[vdso]") == 0)
        return true;
    return vma->inode &&
           (is_lasting_library(vma->name) || (program && strcmp(vma->name, program) == 0));
}

/* Pages that are not present read as zeros, and match nothing. */
static int look_in_block(struct memory *memory, remote_addr start, size_t pages,
                         struct arch_code *code, struct why *why)
{
    uint8_t flags[BLOCK_PAGES + 1], bytes[(BLOCK_PAGES + 1) * PAGE_BYTES];
    int r = memory_page_flags(memory, start, pages, flags, why);

    if (r == 0)
        r = memory_read_pages(memory, start, pages, flags, bytes, why);
    if (r == 0)
        arch_find_code(code, start, bytes, pages * PAGE_BYTES);
    return r;
}

/* Blocks overlap by a page. */
static int look_in(struct memory *memory, struct range range, struct arch_code *code,
                   struct why *why)
{
    int r = 0;

    for (remote_addr at = range.start; r == 0 && at < range.end && !(code->call && code->sigreturn);
         at += BLOCK_PAGES * PAGE_BYTES) {
        uint64_t pages = (range.end - at) / PAGE_BYTES;

        r = look_in_block(memory, at, pages > BLOCK_PAGES + 1 ? BLOCK_PAGES + 1 : pages, code, why);
    }
    return r;
}

/* The file behind a mapping, wherever the process has it from; -1 where it cannot be had for
 * certain. */
static int open_file(const struct target *target, const struct vma *vma)
{
    int fd = procfs_open_file(target->procfs, "proc/%d/map_files/%" PRIx64 "-%" PRIx64,
                              (int)target->pid, vma->range.start, vma->range.end);
    struct stat status;

    if (fd >= 0)
        return fd;
    fd = procfs_open_file(target->procfs, "proc/%d/root%s", (int)target->pid, vma->name);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && status.st_ino == vma->inode &&
        major(status.st_dev) == vma->dev_major && minor(status.st_dev) == vma->dev_minor)
        return fd;
    close(fd);
    return -1;
}

/* What is not present, or is the file's, is as the file has it. Else a page of zeros, which match
 * nothing. */
static void leave_out_changed(const uint8_t *flags, size_t pages, uint8_t *bytes)
{
    for (size_t i = 0; i < pages; i++)
        if (flags[i] & PAGE_PRESENT ? !(flags[i] & PAGE_FILE) : flags[i] & PAGE_SWAPPED)
            memset(bytes + i * PAGE_BYTES, 0, PAGE_BYTES);
}

static int look_in_file_block(struct target *target, const struct vma *vma, int fd,
                              remote_addr start, size_t pages, struct arch_code *code,
                              struct why *why)
{
    uint8_t flags[BLOCK_PAGES + 1], bytes[(BLOCK_PAGES + 1) * PAGE_BYTES] = {0};
    int r = memory_page_flags(&target->memory.memory, start, pages, flags, why);

    if (r || pread(fd, bytes, pages * PAGE_BYTES,
                   (off_t)(vma->offset + (start - vma->range.start))) <= 0)
        return r;
    leave_out_changed(flags, pages, bytes);
    arch_find_code(code, start, bytes, pages * PAGE_BYTES);
    return 0;
}

/*
 * Instructions need not be present to be executed: a process that was forked has only those of its
 * parent's pages that it has used itself.
 */
static int look_in_file(struct target *target, const struct vma *vma, struct arch_code *code,
                        struct why *why)
{
    auto_close int fd = vma->inode ? open_file(target, vma) : -1;
    int r = 0;

    for (remote_addr at = vma->range.start;
         fd >= 0 && r == 0 && at < vma->range.end && !(code->call && code->sigreturn);
         at += BLOCK_PAGES * PAGE_BYTES) {
        uint64_t pages = (vma->range.end - at) / PAGE_BYTES;

        r = look_in_file_block(target, vma, fd, at,
                               pages > BLOCK_PAGES + 1 ? BLOCK_PAGES + 1 : pages, code, why);
    }
    return r;
}

static int look_everywhere(struct target *target, const struct maps *maps, const char *program,
                           struct arch_code *code, struct why *why)
{
    int r = 0;

    for (size_t i = 0; i < maps->count && r == 0; i++)
        if (is_lasting(&maps->items[i], program))
            r = look_in(&target->memory.memory, maps->items[i].range, code, why);
    for (size_t i = 0; i < maps->count && r == 0; i++)
        if (is_lasting(&maps->items[i], program))
            r = look_in_file(target, &maps->items[i], code, why);
    return r;
}

int find_code(struct target *target, const struct maps *maps, struct arch_code *ret,
              struct why *why)
{
    auto_free char *program = NULL;
    struct arch_code code = {0};
    int r = process_exe(target->procfs, target->pid, &program);

    if (r == -ESRCH || r == -ENOMEM)
        return why_set(why, r, "process %d cannot be looked at: %s", (int)target->pid,
                       strerror(-r));
    r = look_everywhere(target, maps, program, &code, why);
    if (r)
        return r;
    if (!code.call || !code.sigreturn)
        return why_set(
            why, OUTCOME_NOT_POSSIBLE,
            "process %d (%s) has no `%s` by which a call could be made, in a libc that is known",
            (int)target->pid, target->status.comm, code.call ? "rt_sigreturn" : "syscall; ret");
    *ret = code;
    return 0;
}
