#include "procfs/mountinfo.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/parse.h"

static bool next_field(struct text *line, struct text *ret_field)
{
    text_skip_blanks(line);
    return text_word(line, ret_field);
}

static bool parse_device(struct text field, struct mount *mount)
{
    uint64_t major, minor;

    if (!text_decimal(&field, &major) || !text_char(&field, ':') || !text_decimal(&field, &minor) ||
        text_length(field) || major > UINT32_MAX || minor > UINT32_MAX)
        return false;
    mount->dev_major = (uint32_t)major;
    mount->dev_minor = (uint32_t)minor;
    return true;
}

/* The text is our own copy, and a blank or newline follows every field: the NUL goes there. */
static const char *own(struct text field)
{
    char *string = (char *)field.at;

    string[text_unescape(string, text_length(field), false)] = '\0';
    return string;
}

/* "36 35 98:0 /root /point options optional... - type source super-options" (proc(5)) */
static bool parse_line(struct text line, struct mount *ret_mount)
{
    struct text skipped, device, root, point, separator, type, super = {line.end, line.end};
    struct mount mount;

    if (memchr(line.at, '\0', text_length(line)) || !next_field(&line, &skipped) ||
        !next_field(&line, &skipped) || !next_field(&line, &device) || !next_field(&line, &root) ||
        !next_field(&line, &point) || !next_field(&line, &skipped))
        return false;
    do {
        if (!next_field(&line, &separator))
            return false;
    } while (!text_is(separator, "-"));
    if (!next_field(&line, &type) || !parse_device(device, &mount))
        return false;
    /* the source may be empty: then the super options are what comes next */
    while (next_field(&line, &skipped))
        super = skipped;
    mount.root = own(root);
    mount.point = own(point);
    mount.type = own(type);
    mount.super_options = own(super);
    *ret_mount = mount;
    return true;
}

int mountinfo_each(const struct procfs *procfs, const char *process,
                   int (*each)(void *context, const struct mount *mount), void *context,
                   struct why *why)
{
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;
    int r = procfs_read(procfs, &buffer, &length, "proc/%s/mountinfo", process);

    if (r < 0)
        return why_set(why, r, "cannot read /proc/%s/mountinfo: %s", process, strerror(-r));
    text = (struct text){buffer, buffer + length};
    while (text_line(&text, &line)) {
        struct mount mount;

        if (!parse_line(line, &mount))
            return text_refuse(why, "cannot understand a line of mountinfo", line);
        r = each(context, &mount);
        if (r)
            return r;
    }
    return 0;
}
