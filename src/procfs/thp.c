#include "procfs/thp.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/parse.h"

/* "always [madvise] never": the one in brackets holds. */
static bool take_choice(struct text text, char *ret, size_t size)
{
    const char *open = memchr(text.at, '[', text_length(text));
    const char *close = open ? memchr(open, ']', (size_t)(text.end - open)) : NULL;
    size_t length = close ? (size_t)(close - open - 1) : 0;

    if (length == 0 || length >= size || memchr(open, '\0', length + 1))
        return false;
    memcpy(ret, open + 1, length);
    ret[length] = '\0';
    return true;
}

int thp_settings_read(const struct procfs *procfs, struct thp_settings *ret)
{
    static const char directory[] = "sys/kernel/mm/transparent_hugepage";
    struct thp_settings settings = {.enabled = "off"};
    auto_free char *text = NULL;
    size_t length;
    int r = procfs_read(procfs, &text, &length, "%s/enabled", directory);

    if (r == -ENOENT) { /* a kernel built without, or CPU without */
        *ret = settings;
        return 0;
    }
    if (r < 0)
        return r;
    if (!take_choice((struct text){text, text + length}, settings.enabled, sizeof settings.enabled))
        return -EBADMSG;
    r = procfs_read_u64(procfs, &settings.max_ptes_none, "%s/khugepaged/max_ptes_none", directory);
    settings.khugepaged_known = r == 0;
    *ret = settings;
    return 0;
}
