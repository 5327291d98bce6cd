#include <errno.h>
#include <string.h>

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

int find_code(struct target *target, const struct maps *maps, struct arch_code *ret,
              struct why *why)
{
    auto_free char *program = NULL;
    struct arch_code code = {0};
    int r = process_exe(target->procfs, target->pid, &program);

    if (r == -ESRCH || r == -ENOMEM)
        return why_set(why, r, "process %d cannot be looked at: %s", (int)target->pid,
                       strerror(-r));
    r = 0;
    for (size_t i = 0; i < maps->count && r == 0; i++)
        if (is_lasting(&maps->items[i], program))
            r = look_in(&target->memory.memory, maps->items[i].range, &code, why);
    if (r)
        return r;
    if (!code.call || !code.sigreturn)
        return why_set(
            why, OUTCOME_NOT_POSSIBLE,
            "process %d (%s) has no `%s` in memory by which a call could be made: its libc is "
            "not known, or was never asked for it",
            (int)target->pid, target->status.comm, code.call ? "rt_sigreturn" : "syscall; ret");
    *ret = code;
    return 0;
}
