#include "target/stillness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vector.h"

enum { LOOKS = 6 };
#define FIRST_LOOK_NS (NS_PER_MS / 10)

static int read_task_file(const struct procfs *procfs, pid_t pid, pid_t tid, const char *name,
                          char **ret)
{
    size_t length;

    return procfs_read(procfs, ret, &length, "proc/%d/task/%d/%s", (int)pid, (int)tid, name);
}

static int read_yields(const struct procfs *procfs, pid_t pid, pid_t tid, uint64_t *ret)
{
    static const char key[] = "\nvoluntary_ctxt_switches:";
    auto_free char *text = NULL;
    const char *line;
    int r = read_task_file(procfs, pid, tid, "status", &text);

    if (r < 0)
        return r;
    line = strstr(text, key);
    return line && sscanf(line + sizeof key - 1, "%" SCNu64, ret) == 1 ? 0 : -EBADMSG;
}

/*
 * "NR 0xARG... 0xSP 0xPC" of who sleeps in a system call, "-1 0xSP 0xPC" of who waits elsewhere (in
 * a page fault, or stopped by a signal), "running" of who does neither (proc_pid_syscall).
 */
static int read_place(const struct procfs *procfs, pid_t pid, pid_t tid, uint64_t *ret)
{
    auto_free char *text = NULL;
    char *at, *end;
    unsigned words = 0;
    int r = read_task_file(procfs, pid, tid, "syscall", &text);

    if (r < 0)
        return r;
    memset(ret, 0, STILL_PLACE_WORDS * sizeof *ret);
    for (at = text; words < STILL_PLACE_WORDS; at = end, words++) {
        ret[words] = words ? strtoull(at, &end, 16) : (uint64_t)strtoll(at, &end, 10);
        if (end == at)
            break;
    }
    if (words == 3 && ret[0] == UINT64_MAX) {
        ret[STILL_PLACE_WORDS - 2] = ret[1];
        ret[STILL_PLACE_WORDS - 1] = ret[2];
        ret[1] = ret[2] = 0;
        return 0;
    }
    return words == STILL_PLACE_WORDS ? 0 : words ? -EBADMSG : OUTCOME_TORN;
}

/* The letter behind the name, which may hold any character. */
static int read_state(const struct procfs *procfs, pid_t pid, pid_t tid, char *ret)
{
    auto_free char *text = NULL;
    const char *behind;
    int r = read_task_file(procfs, pid, tid, "stat", &text);

    if (r < 0)
        return r;
    behind = strrchr(text, ')');
    if (!behind || behind[1] != ' ' || !behind[2])
        return -EBADMSG;
    *ret = behind[2];
    return 0;
}

/*
 * The count is read first: a thread that ran in between and sleeps again has a higher count by
 * then, and will not pass. T: stopped by a signal; it runs no more than a sleeping one.
 */
static int note_thread(const struct procfs *procfs, pid_t pid, pid_t tid, struct still_thread *ret,
                       struct why *why)
{
    char state = '?';
    int r = read_yields(procfs, pid, tid, &ret->yields);

    ret->tid = tid;
    if (r == 0)
        r = read_place(procfs, pid, tid, ret->place);
    if (r == 0)
        r = read_state(procfs, pid, tid, &state);
    if (r == -ENOENT || r == -ESRCH)
        return why_set(why, OUTCOME_TORN, "thread %d has ended", (int)tid);
    if (r < 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "whether thread %d sleeps cannot be read: %s",
                       (int)tid, strerror(-r));
    if (r || (state != 'S' && state != 'T'))
        return why_set(why, OUTCOME_TORN, "thread %d is running", (int)tid);
    return 0;
}

static int note_all(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why)
{
    auto_free pid_t *tids = NULL;
    size_t count = 0;
    int r = procfs_list_tasks(procfs, pid, &tids, &count);

    ret->count = 0;
    if (r)
        return why_set(why, r == -ENOENT ? -ESRCH : r, "the threads of process %d cannot be listed",
                       (int)pid);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct still_thread thread = {0};

        r = note_thread(procfs, pid, tids[i], &thread, why);
        if (r == 0)
            r = vector_push(ret, thread);
    }
    return r;
}

int stillness_begin(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why)
{
    struct stillness stillness = {0};
    uint64_t wait = FIRST_LOOK_NS;
    int r = note_all(procfs, pid, &stillness, why);

    for (unsigned i = 1; i < LOOKS && r == OUTCOME_TORN; i++, wait *= 2) {
        clock_sleep_ns(wait);
        r = note_all(procfs, pid, &stillness, why);
    }
    if (r)
        stillness_free(&stillness);
    else
        *ret = stillness;
    return r;
}

void stillness_free(struct stillness *stillness)
{
    free(stillness->items);
    *stillness = (struct stillness){0};
}

bool stillness_lasts(const struct stillness *stillness, const struct procfs *procfs, pid_t pid)
{
    struct stillness now = {0};
    bool same = note_all(procfs, pid, &now, NULL) == 0 && now.count == stillness->count &&
                memcmp(now.items, stillness->items, now.count * sizeof *now.items) == 0;

    stillness_free(&now);
    return same;
}

/* The registers hold what the call was given; the kernel winds back only when it lets go. */
static bool is_at_place(const struct user_regs_struct *registers, const uint64_t *place)
{
    const uint64_t now[] = {registers->orig_rax, registers->rdi, registers->rsi,
                            registers->rdx,      registers->r10, registers->r8,
                            registers->r9,       registers->rsp, registers->rip};

    if (place[0] == UINT64_MAX)
        return now[0] == place[0] && now[7] == place[7] && now[8] == place[8];
    return memcmp(now, place, sizeof now) == 0;
}

bool stillness_held(const struct stillness *stillness, const struct target *target)
{
    if (!target->stopped || target->thread_count != stillness->count)
        return false;
    for (size_t i = 0; i < stillness->count; i++) {
        const struct still_thread *before = &stillness->items[i];
        const struct target_thread *now = &target->threads[i];
        uint64_t yields;

        if (now->tid != before->tid || !now->has_registers ||
            !is_at_place(&now->registers, before->place) ||
            read_yields(target->procfs, target->pid, before->tid, &yields) != 0 ||
            yields != before->yields + 1)
            return false;
    }
    return true;
}
