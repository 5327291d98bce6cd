#include "procfs/freezer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/cgroup-internal.h"
#include "procfs/cgroup-place.h"
#include "procfs/membership.h"
#include "procfs/mountinfo.h"
#include "procfs/parse.h"

static bool file_says(const struct procfs *procfs, const char *directory, const char *file,
                      const char *line_wanted)
{
    auto_free char *content = NULL;
    struct text text, line;
    size_t length;

    if (procfs_read(procfs, &content, &length, "%s/%s", directory, file) < 0)
        return false;
    text = (struct text){content, content + length};
    while (text_line(&text, &line))
        if (text_is(line, line_wanted))
            return true;
    return false;
}

/* freezer.state counts what an ancestor does (freezer_read). */
static bool v1_is_frozen(const struct procfs *procfs, const struct cgroup_place *place)
{
    return place->version == 1 && place->visible &&
           (file_says(procfs, place->directory, "freezer.state", "FROZEN") ||
            file_says(procfs, place->directory, "freezer.state", "FREEZING"));
}

struct search {
    const struct procfs *procfs;
    struct cgroup_place *place;
};

static int take_v2_path(void *context, const struct membership *membership)
{
    struct cgroup_place *place = context;

    if (membership->id != 0 || text_length(membership->controllers) != 0)
        return 0;
    if (snprintf(place->path, sizeof place->path, "%s", membership->path) < (int)sizeof place->path)
        place->version = 2;
    return 1;
}

/* The freezer of v2 is no controller; it is in every cgroup (since 5.2). */
static int take_v2_mount(void *context, const struct mount *mount)
{
    struct search *search = context;
    struct cgroup_place *place = search->place;
    const char *rest =
        strcmp(mount->type, "cgroup2") == 0 ? cgroup_path_below(place->path, mount->root) : NULL;
    int length;

    if (!rest)
        return 0;
    length = snprintf(place->directory, sizeof place->directory, "%s%s", mount->point, rest);
    if (length < 0 || (size_t)length >= sizeof place->directory)
        return 0;
    place->mount_length = strlen(mount->point);
    place->visible = procfs_is_directory(search->procfs, place->directory);
    return place->visible;
}

static int find_v2(const struct procfs *procfs, pid_t pid, struct cgroup_place *place,
                   struct why *why)
{
    struct search search = {procfs, place};
    int r;

    memset(place, 0, sizeof *place);
    r = memberships_each(procfs, pid, take_v2_path, place, why);
    if (r < 0 || place->version == 0)
        return r < 0 && r != -ENOENT ? r : 0;
    r = mountinfo_each(procfs, "self", take_v2_mount, &search, why);
    return r < 0 && r != -ENOENT ? r : 0;
}

static bool v2_is_frozen(const struct procfs *procfs, struct cgroup_place place)
{
    if (place.version != 2 || !place.visible)
        return false;
    do {
        if (file_says(procfs, place.directory, "cgroup.freeze", "1") ||
            file_says(procfs, place.directory, "cgroup.events", "frozen 1"))
            return true;
    } while (cgroup_parent(&place));
    return false;
}

int cgroup_is_frozen(const struct procfs *procfs, pid_t pid, bool *ret_frozen, char *ret_path,
                     size_t size, struct why *why)
{
    struct cgroup_place place;
    bool frozen;
    int r = cgroup_find(procfs, pid, "freezer", &place, why);

    if (r)
        return r;
    frozen = v1_is_frozen(procfs, &place);
    if (!frozen) {
        r = find_v2(procfs, pid, &place, why);
        if (r)
            return r;
        frozen = v2_is_frozen(procfs, place);
    }
    snprintf(ret_path, size, "%s", place.path);
    *ret_frozen = frozen;
    return 0;
}
