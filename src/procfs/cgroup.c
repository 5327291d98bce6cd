#include "procfs/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/cgroup-place.h"
#include "procfs/parse.h"

/* v1 has no word for "none": its largest count of pages, in bytes, and older kernels the largest
 * number. */
#define V1_NO_LIMIT UINT64_C(0x7FFFFFFFFFFFF000)

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

struct search {
    const struct procfs *procfs;
    struct cgroup_memory *cgroup;
    const char *directory;
    bool charge_done;
    bool limit_told;       /* limit_bytes came from v1's memory.stat */
    bool room_unknown;     /* a level has a limit and no charge that can be read */
    uint64_t lowest_limit; /* of the levels that were seen */
};

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

/* From the process' own directory up to the mount point. */
static void climb(struct search *search, struct cgroup_place *place)
{
    struct cgroup_memory *cgroup = search->cgroup;
    bool counts = true, more;

    search->limit_told =
        cgroup->version == 1 &&
        v1_hierarchical_limit(search->procfs, search->directory, &cgroup->limit_bytes);
    do {
        if (counts || !search->limit_told)
            take_limit(search);
        take_charge(search);
        more = cgroup_parent(place);
        counts = more && counts && counts_descendants(search);
    } while (more);
    if (!cgroup->charge_known)
        cgroup->limit_bytes = CGROUP_NO_LIMIT;
    /* Where the lowest limit is an ancestor's that is not visible, so is what is charged there. */
    cgroup->room_known = cgroup->charge_known && !search->room_unknown &&
                         cgroup->limit_bytes != CGROUP_NO_LIMIT &&
                         search->lowest_limit == cgroup->limit_bytes;
}

static void measure(const struct procfs *procfs, struct cgroup_place *place,
                    struct cgroup_memory *ret)
{
    struct search search = {.procfs = procfs,
                            .cgroup = ret,
                            .directory = place->directory,
                            .lowest_limit = CGROUP_NO_LIMIT};

    memset(ret, 0, sizeof *ret);
    ret->limit_bytes = CGROUP_NO_LIMIT;
    ret->room_bytes = UINT64_MAX;
    ret->version = place->version;
    memcpy(ret->path, place->path, sizeof ret->path);
    if (place->visible)
        climb(&search, place);
    if (!ret->room_known)
        ret->room_bytes = 0;
}

static int no_memory(struct why *why)
{
    return why_set(why, -ENOMEM, "out of memory for the path of a cgroup");
}

int cgroup_memory_read(const struct procfs *procfs, pid_t pid, struct cgroup_memory *ret,
                       struct why *why)
{
    auto_free struct cgroup_place *place = malloc(sizeof *place);
    int r = place ? cgroup_find(procfs, pid, "memory", place, why) : no_memory(why);

    if (r == 0)
        measure(procfs, place, ret);
    return r;
}

int cgroup_memory_at(const struct procfs *procfs, int version, const char *path,
                     struct cgroup_memory *ret, struct why *why)
{
    auto_free struct cgroup_place *place = malloc(sizeof *place);
    int r = place ? cgroup_place_at(procfs, version, path, "memory", place, why) : no_memory(why);

    if (r == 0)
        measure(procfs, place, ret);
    return r;
}
