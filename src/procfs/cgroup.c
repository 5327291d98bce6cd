#include "procfs/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/membership.h"
#include "procfs/mountinfo.h"

/* v1 has no word for "none": its largest count of pages, in bytes, and older kernels the largest
 * number. */
#define V1_NO_LIMIT UINT64_C(0x7FFFFFFFFFFFF000)

static bool string_list_has(const char *list, const char *word)
{
    return list_has((struct text){list, list + strlen(list)}, word);
}

struct finder {
    struct cgroup_memory *cgroup;
    struct why *why;
};

static int set_path(struct finder *finder, int version, const char *path)
{
    size_t length = strlen(path);

    if (length >= sizeof finder->cgroup->path)
        return text_refuse(finder->why, "the path of a cgroup is too long",
                           (struct text){path, path + length});
    memcpy(finder->cgroup->path, path, length + 1);
    finder->cgroup->version = version;
    return 0;
}

/* v1 wins: a controller is in one hierarchy only, and where v1 names it, v2 lacks it. */
static int take_membership(void *context, const struct membership *membership)
{
    struct finder *finder = context;
    bool v2 = membership->id == 0 && text_length(membership->controllers) == 0;

    if (membership->id != 0 && list_has(membership->controllers, "memory"))
        return set_path(finder, 1, membership->path);
    if (v2 && finder->cgroup->version != 1)
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
static const char *below(const char *path, const char *root)
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
    struct cgroup_memory *cgroup;
    bool v2_lacks_memory;
    bool found;
    bool charge_done;
    bool limit_told;       /* limit_bytes came from v1's memory.stat */
    bool room_unknown;     /* a level has a limit and no charge that can be read */
    uint64_t lowest_limit; /* of the levels that were seen */
    char directory[2 * PATH_MAX];
    size_t mount_length; /* of `directory`: the mount point */
};

static bool is_memory_mount(const struct search *search, const struct mount *mount)
{
    if (search->cgroup->version == 2)
        return strcmp(mount->type, "cgroup2") == 0;
    return strcmp(mount->type, "cgroup") == 0 && string_list_has(mount->super_options, "memory");
}

static bool exists(const struct procfs *procfs, const char *directory)
{
    auto_close int fd = procfs_open_file(procfs, "%s", directory);

    return fd >= 0;
}

/*
 * In a hybrid system the v2 hierarchy may exist without the memory controller. Only its very root
 * (where alone cgroup.type is missing) tells so: further down the controller may merely not be
 * enabled.
 */
static bool lacks_memory(const struct procfs *procfs, const char *mount_point)
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
        if (text_is(word, "memory"))
            return false;
    return true;
}

static int consider_mount(void *context, const struct mount *mount)
{
    struct search *search = context;
    const char *rest;
    int length;

    if (!is_memory_mount(search, mount))
        return 0;
    if (search->cgroup->version == 2 && lacks_memory(search->procfs, mount->point)) {
        search->v2_lacks_memory = true;
        return 1;
    }
    rest = below(search->cgroup->path, mount->root);
    if (!rest)
        return 0;
    length = snprintf(search->directory, sizeof search->directory, "%s%s", mount->point, rest);
    if (length < 0 || (size_t)length >= sizeof search->directory)
        return 0;
    search->mount_length = strlen(mount->point);
    search->found = exists(search->procfs, search->directory);
    return search->found;
}

static uint64_t limit_of(const struct procfs *procfs, const char *directory, int version)
{
    const char *file = version == 2 ? "memory.max" : "memory.limit_in_bytes";
    uint64_t limit;

    if (procfs_read_u64(procfs, &limit, "%s/%s", directory, file) < 0)
        return CGROUP_NO_LIMIT;
    return version == 1 && limit >= V1_NO_LIMIT ? CGROUP_NO_LIMIT : limit;
}

/*
 * v1 tells the lowest limit of all ancestors that count (with use_hierarchy), those not visible
 * from here included. False where it does not.
 */
static bool v1_hierarchical_limit(const struct procfs *procfs, const char *directory, uint64_t *ret)
{
    static const char key[] = "hierarchical_memory_limit ";
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;
    uint64_t limit;

    if (procfs_read(procfs, &buffer, &length, "%s/memory.stat", directory) < 0)
        return false;
    text = (struct text){buffer, buffer + length};
    while (text_line(&text, &line)) {
        if (!text_starts(line, key))
            continue;
        line.at += sizeof key - 1;
        if (!text_decimal(&line, &limit))
            return false;
        *ret = limit < V1_NO_LIMIT ? limit : CGROUP_NO_LIMIT;
        return true;
    }
    return false;
}

static const char *charge_file(int version)
{
    return version == 2 ? "memory.current" : "memory.usage_in_bytes";
}

/* Only where the file is missing is an ancestor asked next: one that cannot be read is not replaced
 * by another's. */
static void take_charge(struct search *search)
{
    struct cgroup_memory *cgroup = search->cgroup;
    const char *file = charge_file(cgroup->version);
    size_t length = strlen(search->directory);
    int r;

    if (search->charge_done || length >= sizeof cgroup->charge_path)
        return;
    r = procfs_read_u64(search->procfs, &cgroup->charge_bytes, "%s/%s", search->directory, file);
    if (r == -ENOENT)
        return;
    search->charge_done = true;
    if (r < 0)
        return;
    memcpy(cgroup->charge_path, search->directory, length + 1);
    cgroup->charge_known = true;
}

/* How far this level is from its own limit. One below the limit that v1 told does not count there.
 */
static void take_room(struct search *search, uint64_t limit)
{
    struct cgroup_memory *cgroup = search->cgroup;
    uint64_t charge, room;

    if (limit == CGROUP_NO_LIMIT || (search->limit_told && limit < cgroup->limit_bytes))
        return;
    if (limit < search->lowest_limit)
        search->lowest_limit = limit;
    if (procfs_read_u64(search->procfs, &charge, "%s/%s", search->directory,
                        charge_file(cgroup->version)) < 0) {
        search->room_unknown = true;
        return;
    }
    room = charge < limit ? limit - charge : 0;
    if (room < cgroup->room_bytes)
        cgroup->room_bytes = room;
}

static void take_limit(struct search *search)
{
    struct cgroup_memory *cgroup = search->cgroup;
    uint64_t limit = limit_of(search->procfs, search->directory, cgroup->version);

    if (!search->limit_told && limit < cgroup->limit_bytes)
        cgroup->limit_bytes = limit;
    take_room(search, limit);
}

/* Before Linux 5.11 a v1 group may leave its descendants alone: memory.use_hierarchy 0. */
static bool counts_descendants(const struct search *search)
{
    uint64_t uses;

    return search->cgroup->version == 2 ||
           procfs_read_u64(search->procfs, &uses, "%s/memory.use_hierarchy", search->directory) <
               0 ||
           uses != 0;
}

/* From the process' own directory up to the mount point. Cuts search->directory as it climbs. */
static void climb(struct search *search)
{
    struct cgroup_memory *cgroup = search->cgroup;
    bool counts = true;

    search->limit_told =
        cgroup->version == 1 &&
        v1_hierarchical_limit(search->procfs, search->directory, &cgroup->limit_bytes);
    for (;;) {
        if (counts || !search->limit_told)
            take_limit(search);
        take_charge(search);
        if (strlen(search->directory) <= search->mount_length)
            break;
        *strrchr(search->directory, '/') = '\0';
        counts = counts && counts_descendants(search);
    }
    if (!cgroup->charge_known)
        cgroup->limit_bytes = CGROUP_NO_LIMIT;
    /* Where the lowest limit is an ancestor's that is not visible, so is what is charged there. */
    cgroup->room_known = cgroup->charge_known && !search->room_unknown &&
                         cgroup->limit_bytes != CGROUP_NO_LIMIT &&
                         search->lowest_limit == cgroup->limit_bytes;
}

static int find_directory(const struct procfs *procfs, struct cgroup_memory *cgroup,
                          struct why *why)
{
    auto_free struct search *search = calloc(1, sizeof *search);
    int r;

    if (!search)
        return why_set(why, -ENOMEM, "out of memory for the path of a cgroup");
    search->procfs = procfs;
    search->cgroup = cgroup;
    search->lowest_limit = CGROUP_NO_LIMIT;
    cgroup->room_bytes = UINT64_MAX;
    r = mountinfo_each(procfs, "self", consider_mount, search, why);
    if (r < 0 && r != -ENOENT)
        return r;
    if (search->v2_lacks_memory) {
        cgroup->version = 0;
        cgroup->path[0] = '\0';
    } else if (search->found) {
        climb(search);
    }
    if (!cgroup->room_known)
        cgroup->room_bytes = 0;
    return 0;
}

int cgroup_memory_read(const struct procfs *procfs, pid_t pid, struct cgroup_memory *ret,
                       struct why *why)
{
    struct cgroup_memory cgroup = {.limit_bytes = CGROUP_NO_LIMIT};
    struct finder finder = {&cgroup, why};
    int r = memberships_each(procfs, pid, take_membership, &finder, why);

    if (r < 0 && r != -ENOENT) /* ENOENT: a kernel without cgroups */
        return r;
    r = 0;
    if (cgroup.version)
        r = find_directory(procfs, &cgroup, why);
    if (r < 0)
        return r;
    *ret = cgroup;
    return 0;
}
