#include "procfs/cgroup-place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/cgroup-internal.h"
#include "procfs/membership.h"
#include "procfs/mountinfo.h"
#include "procfs/parse.h"

static bool string_list_has(const char *list, const char *word)
{
    return list_has((struct text){list, list + strlen(list)}, word);
}

struct finder {
    const char *controller;
    struct cgroup_place *place;
    struct why *why;
};

static int set_path(struct finder *finder, int version, const char *path)
{
    size_t length = strlen(path);

    if (length >= sizeof finder->place->path)
        return text_refuse(finder->why, "the path of a cgroup is too long",
                           (struct text){path, path + length});
    memcpy(finder->place->path, path, length + 1);
    finder->place->version = version;
    return 0;
}

/* v1 wins: a controller is in one hierarchy only, and where v1 names it, v2 lacks it. */
static int take_membership(void *context, const struct membership *membership)
{
    struct finder *finder = context;
    bool v2 = membership->id == 0 && text_length(membership->controllers) == 0;

    if (membership->id != 0 && list_has(membership->controllers, finder->controller))
        return set_path(finder, 1, membership->path);
    if (v2 && finder->place->version != 1)
        return set_path(finder, 2, membership->path);
    return 0;
}

/* No name of a directory below the mount has "..": those parts lie outside our cgroup namespace. */
static bool has_parent_part(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/..")); at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

/* What is left of `path` below the directory `root` that is mounted: "" or "/..."; NULL where it
 * lies elsewhere. */
const char *cgroup_path_below(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    path += length;
    if (has_parent_part(path))
        return NULL;
    return strcmp(path, "/") == 0 ? "" : path;
}

struct search {
    const struct procfs *procfs;
    const char *controller;
    struct cgroup_place *place;
    bool v2_lacks_controller;
};

static bool is_controller_mount(const struct search *search, const struct mount *mount)
{
    if (search->place->version == 2)
        return strcmp(mount->type, "cgroup2") == 0;
    return strcmp(mount->type, "cgroup") == 0 &&
           string_list_has(mount->super_options, search->controller);
}

/*
 * In a hybrid system the v2 hierarchy may exist without the controller. Only its very root (where
 * alone cgroup.type is missing) tells so: further down the controller may merely not be enabled.
 */
static bool lacks_controller(const struct procfs *procfs, const char *mount_point,
                             const char *controller)
{
    auto_free char *text = NULL;
    struct text rest, word;
    size_t length;
    auto_close int type_fd = procfs_open_file(procfs, "%s/cgroup.type", mount_point);

    if (type_fd >= 0)
        return false;
    if (procfs_read(procfs, &text, &length, "%s/cgroup.controllers", mount_point) < 0)
        return false;
    rest = (struct text){text, memchr(text, '\n', length)};
    if (!rest.end)
        rest.end = text + length;
    for (text_skip_blanks(&rest); text_word(&rest, &word); text_skip_blanks(&rest))
        if (text_is(word, controller))
            return false;
    return true;
}

bool cgroup_mount_has(const struct procfs *procfs, const struct mount *mount,
                      const char *controller)
{
    if (strcmp(mount->type, "cgroup2") == 0)
        return !lacks_controller(procfs, mount->point, controller);
    return strcmp(mount->type, "cgroup") == 0 && string_list_has(mount->super_options, controller);
}

static int consider_mount(void *context, const struct mount *mount)
{
    struct search *search = context;
    struct cgroup_place *place = search->place;
    const char *rest;
    int length;

    if (!is_controller_mount(search, mount))
        return 0;
    if (place->version == 2 && lacks_controller(search->procfs, mount->point, search->controller)) {
        search->v2_lacks_controller = true;
        return 1;
    }
    rest = cgroup_path_below(place->path, mount->root);
    if (!rest)
        return 0;
    length = snprintf(place->directory, sizeof place->directory, "%s%s", mount->point, rest);
    if (length < 0 || (size_t)length >= sizeof place->directory)
        return 0;
    place->mount_length = strlen(mount->point);
    place->visible = procfs_is_directory(search->procfs, place->directory);
    return place->visible;
}

static int find_directory(struct search *search, struct why *why)
{
    int r = mountinfo_each(search->procfs, "self", consider_mount, search, why);

    if (r < 0 && r != -ENOENT)
        return r;
    if (search->v2_lacks_controller) {
        search->place->version = 0;
        search->place->path[0] = '\0';
    }
    return 0;
}

int cgroup_find(const struct procfs *procfs, pid_t pid, const char *controller,
                struct cgroup_place *ret, struct why *why)
{
    struct search search = {.procfs = procfs, .controller = controller, .place = ret};
    struct finder finder = {controller, ret, why};
    int r;

    memset(ret, 0, sizeof *ret);
    r = memberships_each(procfs, pid, take_membership, &finder, why);
    if (r < 0 && r != -ENOENT) /* ENOENT: a kernel without cgroups */
        return r;
    return ret->version ? find_directory(&search, why) : 0;
}

int cgroup_place_at(const struct procfs *procfs, int version, const char *path,
                    const char *controller, struct cgroup_place *ret, struct why *why)
{
    struct search search = {.procfs = procfs, .controller = controller, .place = ret};
    struct finder finder = {controller, ret, why};
    int r;

    memset(ret, 0, sizeof *ret);
    r = set_path(&finder, version, path);
    return r ? r : find_directory(&search, why);
}

bool cgroup_parent(struct cgroup_place *place)
{
    char *slash = strrchr(place->directory, '/');

    if (!slash || strlen(place->directory) <= place->mount_length)
        return false;
    *slash = '\0';
    return true;
}
