#include "procfs/membership.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/process.h"

bool list_has(struct text list, const char *word)
{
    while (text_length(list)) {
        const char *comma = memchr(list.at, ',', text_length(list));
        struct text item = {list.at, comma ? comma : list.end};

        if (text_is(item, word))
            return true;
        list.at = comma ? comma + 1 : list.end;
    }
    return false;
}

/* "4:memory:/path" (v1) or "0::/path" (v2); the path may hold colons. */
static bool parse(struct text line, struct membership *ret)
{
    const char *colon;

    if (!text_decimal(&line, &ret->id) || !text_char(&line, ':'))
        return false;
    colon = memchr(line.at, ':', text_length(line));
    if (!colon || colon + 1 == line.end || colon[1] != '/')
        return false;
    ret->controllers = (struct text){line.at, colon};
    ret->path = colon + 1;
    return !memchr(ret->path, '\0', (size_t)(line.end - ret->path));
}

int memberships_each(const struct procfs *procfs, pid_t pid,
                     int (*each)(void *context, const struct membership *membership), void *context,
                     struct why *why)
{
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;
    int r = procfs_read(procfs, &buffer, &length, "proc/%d/cgroup", pid);

    if (r < 0)
        return process_error(procfs, pid, r, "cgroup", why);
    text = (struct text){buffer, buffer + length};
    while (text_line(&text, &line)) {
        struct membership membership;

        if (!parse(line, &membership))
            return text_refuse(why, "cannot understand a line of cgroup", line);
        buffer[line.end - buffer] = '\0'; /* was its newline, or is the text's end */
        r = each(context, &membership);
        if (r)
            return r;
    }
    return 0;
}
