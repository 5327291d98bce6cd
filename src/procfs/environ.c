#include "procfs/environ.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "procfs/parse.h"
#include "procfs/process.h"

/* Fields of /proc/PID/stat, counted from 1 (proc_pid_stat(5)); the third follows the name. */
enum { FIELD_STATE = 3, FIELD_ENV_START = 50 };

/* The name, in brackets, can hold anything: the last bracket ends it. */
static bool skip_to_field(struct text *text, unsigned field)
{
    const char *bracket = memrchr(text->at, ')', text_length(*text));
    struct text word;

    if (!bracket)
        return false;
    text->at = bracket + 1;
    for (unsigned i = FIELD_STATE; i < field; i++) {
        text_skip_blanks(text);
        if (!text_word(text, &word))
            return false;
    }
    text_skip_blanks(text);
    return true;
}

int environ_range(const struct procfs *procfs, pid_t pid, struct range *ret, struct why *why)
{
    auto_free char *buffer = NULL;
    struct range range;
    struct text text;
    size_t length;
    int r = procfs_read(procfs, &buffer, &length, "proc/%d/stat", pid);

    if (r < 0)
        return process_error(procfs, pid, r, "stat", why);
    text = (struct text){buffer, buffer + length};
    if (!skip_to_field(&text, FIELD_ENV_START) || !text_decimal(&text, &range.start))
        return text_refuse(why, "cannot understand stat", (struct text){buffer, buffer + length});
    text_skip_blanks(&text);
    if (!text_decimal(&text, &range.end) || range.end < range.start)
        return text_refuse(why, "cannot understand stat", (struct text){buffer, buffer + length});
    if (range.start == 0) /* every program has one, if an empty one */
        return process_refused(pid, "stat", why);
    if (range_length(range) > ENVIRON_BYTES)
        range.end = range.start + ENVIRON_BYTES;
    *ret = range;
    return 0;
}

static int take_one(const char *text, size_t length, bool (*wanted)(const char *name),
                    struct environ_variables *to)
{
    struct environ_variable variable = {0};
    const char *sign = memchr(text, '=', length);
    size_t name = sign ? (size_t)(sign - text) : 0, value = length - name - 1;

    if (name == 0 || name >= sizeof variable.name)
        return 0;
    memcpy(variable.name, text, name);
    if (!wanted(variable.name) || to->count == ENVIRON_VARIABLES)
        return 0;
    variable.value = strndup(sign + 1, value > ENVIRON_VALUE ? ENVIRON_VALUE : value);
    if (!variable.value)
        return -ENOMEM;
    if (vector_push(to, variable)) {
        free(variable.value);
        return -ENOMEM;
    }
    return 0;
}

int environ_take(const char *text, size_t length, bool (*wanted)(const char *name),
                 struct environ_variables *to)
{
    int r = 0;

    while (r == 0 && length) {
        size_t one = strnlen(text, length), taken = one + (one < length);

        r = take_one(text, one, wanted, to);
        text += taken;
        length -= taken;
    }
    return r;
}

void environ_free(struct environ_variables *variables)
{
    for (size_t i = 0; i < variables->count; i++)
        free(variables->items[i].value);
    free(variables->items);
    *variables = (struct environ_variables){0};
}

int process_is_secure(const struct procfs *procfs, pid_t pid, bool *ret)
{
    auto_free char *buffer = NULL;
    uint64_t pair[2];
    size_t length;
    int r = procfs_read(procfs, &buffer, &length, "proc/%d/auxv", pid);

    if (r < 0)
        return r;
    for (size_t at = 0; at + sizeof pair <= length; at += sizeof pair) {
        memcpy(pair, buffer + at, sizeof pair);
        if (pair[0] != AT_SECURE)
            continue;
        *ret = pair[1] != 0;
        return 0;
    }
    return -EBADMSG;
}
