#include "procfs/cgroup-tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "procfs/cgroup-internal.h"
#include "procfs/parse.h"

struct finding_place {
    const struct procfs *procfs;
    char name[PATH_MAX];
    struct named_cgroup *best;
    unsigned best_rank; /* 0: none yet */
    size_t best_mount_length;
};

static bool has_file(const struct procfs *procfs, const char *directory, const char *file)
{
    auto_close int fd = procfs_open_file(procfs, "%s/%s", directory, file);

    return fd >= 0;
}

/* 0 where it does not fit, which no mounted cgroup reaches. */
static bool join(char *ret, const char *a, const char *b)
{
    int length = snprintf(ret, PATH_MAX, "%s%s", strcmp(a, "/") == 0 ? "" : a, b);

    return length >= 0 && length < PATH_MAX;
}

/* By its directory the hierarchy is plain; by its path, that of the memory controller is meant,
 * then v2, then any. */
static unsigned rank_of(const struct named_cgroup *place, bool by_directory)
{
    if (by_directory)
        return 4;
    return place->counts_memory ? 3 : place->version == 2 ? 2 : 1;
}

static bool try_place(struct finding_place *search, const struct mount *mount, const char *rest,
                      bool by_directory)
{
    auto_free struct named_cgroup *place = calloc(1, sizeof *place);
    unsigned rank;

    if (!place)
        return false;
    place->version = strcmp(mount->type, "cgroup2") == 0 ? 2 : 1;
    place->counts_memory = cgroup_mount_has(search->procfs, mount, "memory");
    if (!join(place->path, mount->root, rest) || !join(place->directory, mount->point, rest) ||
        !has_file(search->procfs, place->directory, "cgroup.procs"))
        return false;
    if (!place->path[0])
        place->path[0] = '/';
    rank = rank_of(place, by_directory);
    if (rank < search->best_rank ||
        (rank == search->best_rank && strlen(mount->point) < search->best_mount_length))
        return true;
    search->best_rank = rank;
    search->best_mount_length = strlen(mount->point);
    *search->best = *place;
    return true;
}

static int consider_mount(void *context, const struct mount *mount)
{
    struct finding_place *search = context;
    const char *rest;

    if (strcmp(mount->type, "cgroup") != 0 && strcmp(mount->type, "cgroup2") != 0)
        return 0;
    rest = cgroup_path_below(search->name, mount->point);
    if (rest && try_place(search, mount, rest, true))
        return 0;
    rest = cgroup_path_below(search->name, mount->root);
    if (rest)
        (void)try_place(search, mount, rest, false);
    return 0;
}

static bool is_threaded(const struct procfs *procfs, const char *directory)
{
    auto_free char *type = NULL;
    size_t length;

    return procfs_read(procfs, &type, &length, "%s/cgroup.type", directory) == 0 &&
           strcmp(type, "threaded\n") == 0;
}

/* A thread's cgroup may be another than its process' (cgroup v2, "Threads"): the charge is the
 * process'. */
static int refuse_threaded(const struct procfs *procfs, struct named_cgroup *place, struct why *why)
{
    char *slash;

    while (is_threaded(procfs, place->directory) && (slash = strrchr(place->directory, '/')) &&
           slash != place->directory)
        *slash = '\0';
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "cgroup %s is threaded: its threads are parts of processes that belong to %s; "
                   "name that",
                   place->path, place->directory);
}

static int set_name(struct finding_place *search, const char *name, struct why *why)
{
    size_t length = strlen(name);

    while (length > 1 && name[length - 1] == '/')
        length--;
    if (name[0] != '/')
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "'%.100s' is no absolute path: name a cgroup by its directory, or as "
                       "/proc/PID/cgroup does",
                       name);
    if (length >= sizeof search->name)
        return why_set(why, -ENAMETOOLONG, "the path of the cgroup is too long");
    memcpy(search->name, name, length);
    search->name[length] = '\0';
    return 0;
}

static int not_found(const struct procfs *procfs, const char *name, struct why *why)
{
    if (has_file(procfs, name, ""))
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%s is no cgroup: it lies below no mount of a cgroup hierarchy that "
                       "/proc/self/mountinfo tells",
                       name);
    return why_set(
        why, -ENOENT,
        "there is no cgroup %s: name its directory, or a path that /proc/PID/cgroup shows", name);
}

int cgroup_find_named(const struct procfs *procfs, const char *name, struct named_cgroup *ret,
                      struct why *why)
{
    auto_free struct finding_place *search = calloc(1, sizeof *search);
    auto_free struct named_cgroup *place = calloc(1, sizeof *place);
    int r;

    if (!search || !place)
        return why_set(why, -ENOMEM, "out of memory for the path of a cgroup");
    search->procfs = procfs;
    search->best = place;
    r = set_name(search, name, why);
    if (r == 0)
        r = mountinfo_each(procfs, "self", consider_mount, search, why);
    if (r)
        return r;
    if (search->best_rank == 0)
        return not_found(procfs, search->name, why);
    if (place->version == 2 && is_threaded(procfs, place->directory))
        return refuse_threaded(procfs, place, why);
    *ret = *place;
    return 0;
}

struct directories {
    char **items;
    size_t count, capacity;
};

struct pids {
    pid_t *items;
    size_t count, capacity;
};

static int push_directory(struct directories *left, const char *parent, const char *name)
{
    char *path;
    int r;

    if (asprintf(&path, "%s/%s", parent, name) < 0)
        return -ENOMEM;
    r = vector_push(left, path);
    if (r)
        free(path);
    return r;
}

static int add_children(const struct procfs *procfs, const char *directory,
                        struct directories *left)
{
    int fd = procfs_open_file(procfs, "%s", directory);
    auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0; /* it has gone */
    }
    while (r == 0 && (entry = readdir(dir)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            r = push_directory(left, directory, entry->d_name);
    return r;
}

static int add_pids(struct text text, struct pids *pids, size_t *foreign)
{
    struct text line;
    uint64_t value;

    while (text_line(&text, &line)) {
        int r;

        if (!text_decimal(&line, &value) || text_length(line) || value > INT_MAX)
            return -EBADMSG;
        if (value == 0) {
            (*foreign)++;
            continue;
        }
        r = vector_push(pids, (pid_t)value);
        if (r)
            return r;
    }
    return 0;
}

/* -EOPNOTSUPP: a threaded cgroup; the processes of its threads are listed by the domain above it.
 */
static int add_processes(const struct procfs *procfs, const char *directory, struct pids *pids,
                         size_t *foreign, struct why *why)
{
    auto_free char *text = NULL;
    size_t length;
    int r = procfs_read(procfs, &text, &length, "%s/cgroup.procs", directory);

    if (r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP)
        return 0;
    if (r == 0)
        r = add_pids((struct text){text, text + length}, pids, foreign);
    return r ? why_set(why, r, "cannot read %s/cgroup.procs: %s", directory, strerror(-r)) : 0;
}

static int compare_pids(const void *a, const void *b)
{
    const pid_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* In v1 a process is listed wherever one of its threads is. */
static void sort_once(struct pids *pids)
{
    size_t kept = 0;

    if (pids->count == 0)
        return;
    qsort(pids->items, pids->count, sizeof *pids->items, compare_pids);
    for (size_t i = 1; i < pids->count; i++)
        if (pids->items[i] != pids->items[kept])
            pids->items[++kept] = pids->items[i];
    pids->count = kept + 1;
}

/* Depth first; a directory that is taken from the list is replaced by what is in it. */
static int walk(const struct procfs *procfs, struct directories *left, struct pids *pids,
                size_t *foreign, struct why *why)
{
    int r = 0;

    while (r == 0 && left->count) {
        auto_free char *directory = left->items[--left->count];

        r = add_processes(procfs, directory, pids, foreign, why);
        if (r == 0)
            r = add_children(procfs, directory, left);
    }
    return r;
}

int cgroup_processes(const struct procfs *procfs, const struct named_cgroup *place,
                     pid_t **ret_pids, size_t *ret_count, size_t *ret_foreign, struct why *why)
{
    struct directories left = {0};
    struct pids pids = {0};
    size_t foreign = 0;
    char *first = strdup(place->directory);
    int r = first ? vector_push(&left, first) : -ENOMEM;

    if (r)
        free(first);
    else
        r = walk(procfs, &left, &pids, &foreign, why);
    while (left.count)
        free(left.items[--left.count]);
    free(left.items);
    if (r) {
        free(pids.items);
        return r;
    }
    sort_once(&pids);
    *ret_pids = pids.items;
    *ret_count = pids.count;
    *ret_foreign = foreign;
    return 0;
}
