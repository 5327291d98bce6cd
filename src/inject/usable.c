#include "inject/usable.h"

#include <errno.h>
#include <sys/ptrace.h>

#include "inject/thread-status.h"
#include "inject/wire.h"
#include "procfs/freezer.h"

#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211 /* since 6.4 */
#endif

struct user_dispatch {
    uint64_t mode, selector, offset, length; /* struct ptrace_sud_config */
};

struct rseq_configuration {
    uint64_t pointer; /* struct ptrace_rseq_configuration */
    uint32_t size, signature, flags, padding;
};

struct rseq_section {
    uint32_t version, flags; /* struct rseq_cs */
    uint64_t start, length, abort;
};

enum { RSEQ_SECTION_AT = 8 }; /* struct rseq, rseq_cs */

int process_is_usable(const struct procfs *procfs, pid_t pid, const char *comm, struct why *why)
{
    char path[256];
    bool frozen;
    int r = cgroup_is_frozen(procfs, pid, &frozen, path, sizeof path, why);

    if (r || !frozen)
        return r;
    return why_set(
        why, OUTCOME_NOT_POSSIBLE,
        "process %d (%s) is in a frozen cgroup (%s): it makes no call until it is thawed", (int)pid,
        comm, path);
}

/*
 * Kernels from 5.11 to 6.3 have user dispatch and do not tell. A thread that is in a system call
 * was let into it by the same rule, and it has not run since.
 */
static int check_user_dispatch(const struct injection *injection, struct why *why)
{
    struct user_dispatch dispatch = {0};
    int r = wire_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, injection->thread->tid,
                        (void *)sizeof dispatch, &dispatch);

    if (r == -ESRCH)
        return r;
    if (r && !injection->home.in_call)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "is not in a system call, and this kernel does not tell whether its calls "
                       "are its own to answer "
                       "(syscall user dispatch)");
    if (r == 0 && dispatch.mode != 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "answers its system calls itself (syscall user dispatch, as Wine)");
    return 0;
}

/* The kernel looks at the section lazily: a pointer may be of one that was left long ago. */
static int check_section(const struct injection *injection, uint64_t section_at, struct why *why)
{
    struct rseq_section section;
    int r =
        memory_read(&injection->target->memory.memory, section_at, &section, sizeof section, why);

    if (r < 0)
        return r;
    if (r || injection->home.pc - section.start < section.length)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "is in a restartable sequence");
    return 0;
}

/* In a restartable sequence no system call is made, so whoever is in one is in no sequence. */
static int check_rseq(const struct injection *injection, struct why *why)
{
    struct rseq_configuration configuration = {0};
    uint64_t section = 0;
    int r;

    if (injection->home.in_call)
        return 0;
    r = wire_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, injection->thread->tid,
                    (void *)sizeof configuration, &configuration);
    if (r == -ESRCH)
        return r;
    if (r)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "is not in a system call, and this kernel does not tell of restartable "
                       "sequences (before 5.13)");
    if (configuration.pointer == 0)
        return 0;
    r = memory_read_u64(&injection->target->memory.memory, configuration.pointer + RSEQ_SECTION_AT,
                        &section, why);
    if (r > 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "has its restartable sequences where they cannot be read");
    return r || section == 0 ? r : check_section(injection, section, why);
}

/*
 * What the mask is outside of such a call ptrace tells since 5.2 (fcfc2aa0185f, ptrace: take into
 * account saved_sigmask). 5.3 has a request that can be asked for.
 */
static int check_mask(const struct injection *injection, struct why *why)
{
    char info[128];
    long r;

    if (!injection->home.own_mask)
        return 0;
    r = wire_ask(PTRACE_GET_SYSCALL_INFO, injection->thread->tid, (void *)sizeof info, info);
    if (r == -ESRCH)
        return (int)r;
    return r > 0 ? 0
                 : why_set(why, OUTCOME_NOT_POSSIBLE,
                           "waits with a signal mask of its own, and this kernel does not tell "
                           "what it is else "
                           "(before 5.3)");
}

int thread_is_usable(const struct injection *injection, const struct thread_status *status,
                     struct why *why)
{
    int r;

    if (status->shadow_stack)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "has a shadow stack, which lets no call return where it did not come from");
    r = check_user_dispatch(injection, why);
    if (r == 0)
        r = check_mask(injection, why);
    return r ? r : check_rseq(injection, why);
}
