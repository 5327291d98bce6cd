#include "inject/thread-status.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/parse.h"

static bool has_word(struct text text, const char *wanted)
{
    struct text word;

    for (text_skip_blanks(&text); text_word(&text, &word); text_skip_blanks(&text))
        if (text_is(word, wanted))
            return true;
    return false;
}

/* False when it cannot be understood. */
static bool take(struct thread_status *status, struct text key, struct text value)
{
    uint64_t number;

    text_skip_blanks(&value);
    if (text_is(key, "SigBlk:"))
        return text_hex(&value, &status->blocked);
    if (text_is(key, "SigCgt:"))
        return text_hex(&value, &status->caught);
    if (text_is(key, "x86_Thread_features:"))
        status->shadow_stack = has_word(value, "shstk");
    if (!text_is(key, "Seccomp:"))
        return true;
    if (!text_decimal(&value, &number) || number > 2)
        return false;
    status->seccomp = (int)number;
    return true;
}

int thread_status_read(const struct procfs *procfs, pid_t pid, pid_t tid, struct thread_status *ret,
                       struct why *why)
{
    auto_free char *content = NULL;
    struct thread_status status = {0};
    struct text text, line, key;
    size_t length;
    int r = procfs_read(procfs, &content, &length, "proc/%d/task/%d/status", (int)pid, (int)tid);

    if (r)
        return why_set(why, r == -ENOENT ? -ESRCH : r, "the status of thread %d cannot be read: %s",
                       (int)tid, strerror(-r));
    text = (struct text){content, content + length};
    while (text_line(&text, &line)) {
        struct text whole = line;

        if (text_word(&line, &key) && !take(&status, key, line))
            return text_refuse(why, "a line of the thread's status is not understood", whole);
    }
    *ret = status;
    return 0;
}
