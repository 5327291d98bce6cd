#include "inject/filters.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/vector.h"
#include "inject/bpf.h"
#include "inject/thread-status.h"
#include "inject/wire.h"

enum { FILTERS_MOST = 512, MODE_STRICT = 1 };

struct filter {
    struct sock_filter *program;
    size_t length;
};

struct filters {
    struct filter *items;
    size_t count, capacity;
};

void filters_free(struct filters *filters)
{
    for (size_t i = 0; filters && i < filters->count; i++)
        free(filters->items[i].program);
    if (filters)
        free(filters->items);
    free(filters);
}

/* 0; -ENOENT: there is none with this number; other negative errno. */
static int read_one(pid_t tid, size_t number, struct filter *ret)
{
    long length = wire_ask(PTRACE_SECCOMP_GET_FILTER, tid, (void *)number, NULL);
    struct sock_filter *program;
    long again;

    if (length < 0)
        return (int)length;
    if (length == 0 || length > BPF_INSTRUCTIONS_MOST)
        return -EINVAL;
    program = calloc((size_t)length, sizeof *program);
    if (!program)
        return -ENOMEM;
    again = wire_ask(PTRACE_SECCOMP_GET_FILTER, tid, (void *)number, program);
    if (again != length) {
        free(program);
        return again < 0 ? (int)again : -EINVAL;
    }
    *ret = (struct filter){program, (size_t)length};
    return 0;
}

static int read_all(pid_t tid, struct filters *filters)
{
    for (size_t number = 0; number < FILTERS_MOST; number++) {
        struct filter filter;
        int r = read_one(tid, number, &filter);

        if (r == -ENOENT)
            return 0;
        if (r)
            return r;
        r = vector_push(filters, filter);
        if (r) {
            free(filter.program);
            return r;
        }
    }
    return -E2BIG;
}

static int cannot_read(int r, struct why *why)
{
    if (r == -ENOMEM || r == -ESRCH)
        return why_set(why, r, "its seccomp filters cannot be read: %s", strerror(-r));
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "has seccomp filters, and what they allow cannot be read (%s): run as root with "
                   "CAP_SYS_ADMIN, "
                   "outside of any filter",
                   strerror(-r));
}

int filters_read(const struct procfs *procfs, pid_t pid, pid_t tid, struct filters **ret,
                 struct why *why)
{
    struct thread_status status;
    struct filters *filters;
    int r = thread_status_read(procfs, pid, tid, &status, why);

    if (r)
        return r;
    *ret = NULL;
    if (status.seccomp == 0)
        return 0;
    if (status.seccomp == MODE_STRICT)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "may make no system call but read and write (strict seccomp)");
    filters = calloc(1, sizeof *filters);
    r = filters ? read_all(tid, filters) : -ENOMEM;
    if (r || filters->count == 0) {
        filters_free(filters);
        return cannot_read(r ? r : -ENOENT, why);
    }
    *ret = filters;
    return 0;
}

int filters_allow(const struct filters *filters, const struct arch_call *call, remote_addr after,
                  struct why *why)
{
    struct seccomp_data data = {
        .nr = (int)call->number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = after};

    memcpy(data.args, call->arguments, sizeof data.args);
    for (size_t i = 0; filters && i < filters->count; i++) {
        uint32_t value;

        if (bpf_run(filters->items[i].program, filters->items[i].length, &data, &value))
            return why_set(why, OUTCOME_NOT_POSSIBLE,
                           "has a seccomp filter that is not understood");
        if (!bpf_lets_pass(value))
            return why_set(
                why, OUTCOME_NOT_POSSIBLE,
                "has a seccomp filter that does not allow system call %ld with these arguments "
                "(it answers 0x%x)",
                call->number, value);
    }
    return 0;
}
