#include "procfs/status.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/parse.h"
#include "procfs/process.h"

struct seen {
    bool state, tgid, kthread;
};

static const struct {
    const char *key;
    size_t offset;
} kilobyte_fields[] = {
    {"VmRSS", offsetof(struct process_status, vm_rss_bytes)},
    {"RssAnon", offsetof(struct process_status, rss_anon_bytes)},
    {"RssFile", offsetof(struct process_status, rss_file_bytes)},
    {"RssShmem", offsetof(struct process_status, rss_shmem_bytes)},
    {"VmSwap", offsetof(struct process_status, vm_swap_bytes)},
    {"VmPTE", offsetof(struct process_status, vm_pte_bytes)},
    {"VmPMD", offsetof(struct process_status, vm_pte_bytes)}, /* of its own before 4.15 */
    {"VmLck", offsetof(struct process_status, vm_locked_bytes)},
    {"VmPin", offsetof(struct process_status, vm_pinned_bytes)},
    {"VmHWM", offsetof(struct process_status, vm_hwm_bytes)},
    {"HugetlbPages", offsetof(struct process_status, hugetlb_bytes)},
};

/* The kernel writes a newline and a backslash in a name as \n and \\ (proc_task_name). */
static void take_comm(struct process_status *status, struct text value)
{
    size_t n = 0;

    for (const char *at = value.at; at < value.end && n < sizeof status->comm - 1; at++) {
        if (*at == '\\' && at + 1 < value.end && (at[1] == 'n' || at[1] == '\\'))
            status->comm[n++] = *++at == 'n' ? '\n' : '\\';
        else
            status->comm[n++] = *at;
    }
    status->comm[n] = '\0';
}

static bool take_number(struct text value, uint64_t max, uint64_t *ret)
{
    return text_decimal(&value, ret) && *ret <= max;
}

/* "Uid: real effective saved filesystem" */
static bool take_uid(struct process_status *status, struct text value)
{
    uint64_t real, effective;

    if (!text_decimal(&value, &real))
        return false;
    text_skip_blanks(&value);
    if (!take_number(value, UINT32_MAX, &effective))
        return false;
    status->uid = (uid_t)effective;
    return true;
}

static bool take_kilobytes(struct process_status *status, struct text key, struct text value)
{
    for (size_t i = 0; i < sizeof kilobyte_fields / sizeof *kilobyte_fields; i++) {
        uint64_t number, bytes, *field;

        if (!text_is(key, kilobyte_fields[i].key))
            continue;
        field = (uint64_t *)(void *)((char *)status + kilobyte_fields[i].offset);
        if (!text_decimal(&value, &number) || __builtin_mul_overflow(number, 1024u, &bytes) ||
            __builtin_add_overflow(*field, bytes, field))
            return false;
        return status->has_memory = true;
    }
    return true;
}

static bool take_pid(struct text value, pid_t *ret)
{
    uint64_t number;

    if (!take_number(value, INT_MAX, &number))
        return false;
    *ret = (pid_t)number;
    return true;
}

static bool take_field(struct process_status *status, struct seen *seen, struct text key,
                       struct text value)
{
    uint64_t number = 0;

    if (text_is(key, "Name"))
        return take_comm(status, value), true;
    if (text_is(key, "State"))
        return seen->state = text_length(value) && (status->state = *value.at);
    if (text_is(key, "Tgid"))
        return seen->tgid = take_pid(value, &status->tgid);
    if (text_is(key, "PPid"))
        return take_pid(value, &status->ppid);
    if (text_is(key, "TracerPid"))
        return take_pid(value, &status->tracer_pid);
    if (text_is(key, "Uid"))
        return take_uid(status, value);
    if (text_is(key, "Threads"))
        return take_number(value, INT_MAX, &number) && (status->threads = (unsigned)number, true);
    if (text_is(key, "THP_enabled"))
        return take_number(value, 1, &number) && (status->thp_enabled = (int)number, true);
    if (text_is(key, "Kthread")) /* since 6.10 */
        return take_number(value, 1, &number) &&
               (status->kernel_thread = number, seen->kthread = true);
    return take_kilobytes(status, key, value);
}

static int take_line(struct process_status *status, struct seen *seen, struct text line,
                     struct why *why)
{
    const char *colon = memchr(line.at, ':', text_length(line));
    struct text key, value;

    if (!colon)
        return text_refuse(why, "cannot understand a line of status", line);
    key = (struct text){line.at, colon};
    value = (struct text){colon + 1, line.end};
    text_skip_blanks(&value);
    if (!take_field(status, seen, key, value))
        return text_refuse(why, "cannot understand a line of status", line);
    return 0;
}

/* PF_KTHREAD in the flags, the seventh field after the name in /proc/PID/stat (proc(5)). */
static bool stat_says_kernel_thread(const struct procfs *procfs, pid_t pid)
{
    enum { PF_KTHREAD = 0x00200000 };
    auto_free char *buffer = NULL;
    struct text text, word;
    size_t length;
    uint64_t flags;
    const char *bracket;

    if (procfs_read(procfs, &buffer, &length, "proc/%d/stat", pid) < 0)
        return false;
    bracket = memrchr(buffer, ')', length);
    if (!bracket)
        return false;
    text = (struct text){bracket + 1, buffer + length};
    for (int i = 0; i < 7; i++) {
        text_skip_blanks(&text);
        if (!text_word(&text, &word))
            return false;
    }
    return text_decimal(&word, &flags) && flags & PF_KTHREAD;
}

static int parse_status(struct text text, struct process_status *status, struct seen *seen,
                        struct why *why)
{
    struct text line;

    while (text_line(&text, &line)) {
        int r = take_line(status, seen, line, why);

        if (r < 0)
            return r;
    }
    if (!seen->state || !seen->tgid)
        return why_set(why, -EBADMSG, "status has no %s line", seen->state ? "Tgid" : "State");
    return 0;
}

int status_read(const struct procfs *procfs, pid_t pid, struct process_status *ret, struct why *why)
{
    struct process_status status = {.thp_enabled = -1};
    struct seen seen = {0};
    auto_free char *buffer = NULL;
    size_t length;
    int r = procfs_read(procfs, &buffer, &length, "proc/%d/status", pid);

    if (r == -ENOENT || r == -ESRCH)
        return process_absent(procfs, pid, why);
    if (r == -EACCES || r == -EPERM)
        return process_refused(pid, "status", why);
    if (r < 0)
        return why_set(why, r, "cannot read /proc/%d/status: %s", pid, strerror(-r));
    r = parse_status((struct text){buffer, buffer + length}, &status, &seen, why);
    if (r < 0)
        return r;
    if (!seen.kthread && !status.has_memory && status.state != 'Z' && status.state != 'X')
        status.kernel_thread = stat_says_kernel_thread(procfs, pid);
    *ret = status;
    return 0;
}

int process_exe(const struct procfs *procfs, pid_t pid, char **ret_path)
{
    return procfs_read_link(procfs, ret_path, "proc/%d/exe", pid);
}

/* The name before the fields may hold any character, so they are counted from its last parenthesis.
 */
int page_faults_read(const struct procfs *procfs, pid_t pid, struct page_faults *ret,
                     struct why *why)
{
    enum { STATE = 3, MINFLT = 10 }; /* majflt is the next but one */
    auto_free char *text = NULL;
    size_t length;
    char *field;
    int r = procfs_read(procfs, &text, &length, "proc/%d/stat", (int)pid);

    if (r < 0)
        return why_set(why, r == -ENOENT ? -ESRCH : r, "/proc/%d/stat cannot be read", (int)pid);
    field = strrchr(text, ')');
    for (int i = STATE - 1; field && i < MINFLT; i++)
        field = strchr(field + 1, ' ');
    if (!field || sscanf(field, " %" SCNu64 " %*u %" SCNu64, &ret->minor, &ret->major) != 2)
        return why_set(why, -EBADMSG, "/proc/%d/stat cannot be understood", (int)pid);
    return 0;
}
