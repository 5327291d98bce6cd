#include "cure/keep-state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cure/keep-json.h"
#include "cure/keep-points.h"

enum { NAME_BYTES = 128, FILE_BYTES_MOST = 16384 };

static const char directory_name[] = "residue", name_format[] = "keep-%d-%" PRIu64 "-%s.json";

struct file_name {
    char text[NAME_BYTES];
};

const char *keep_setting_name(enum keep_setting setting)
{
    static const char *const names[KEEP_SETTINGS] = {
        [KEEP_HUGE_PAGES] = "huge_pages",         [KEEP_MMAP_MAX] = "mmap_max",
        [KEEP_TRIM_THRESHOLD] = "trim_threshold", [KEEP_MMAP_THRESHOLD] = "mmap_threshold",
        [KEEP_STATIC] = "static_thresholds",
    };

    return names[setting];
}

const struct keep_change *keep_state_find(const struct keep_state *state, enum keep_setting setting)
{
    for (size_t i = 0; i < state->count; i++)
        if (state->changes[i].setting == setting)
            return &state->changes[i];
    return NULL;
}

void keep_state_put(struct keep_state *state, struct keep_change change)
{
    size_t at = 0;

    while (at < state->count && state->changes[at].setting < change.setting)
        at++;
    if (at == state->count || state->changes[at].setting != change.setting) {
        memmove(state->changes + at + 1, state->changes + at,
                (state->count - at) * sizeof state->changes[0]);
        state->count++;
    }
    state->changes[at] = change;
}

static int check_directory(int fd, const char *path, struct why *why)
{
    struct stat status;

    if (fstat(fd, &status))
        return why_set(why, -errno, "%s: %s", path, strerror(errno));
    if (status.st_uid != geteuid() || status.st_mode & (S_IRWXG | S_IRWXO))
        return why_set(why, -EACCES,
                       "%s is not this user's alone (mode 0700): what is written there to be "
                       "undone could be anybody's; remove it and try again",
                       path);
    return 0;
}

int keep_directory_open_in(const char *parent, int *ret_fd, struct why *why)
{
    auto_close int fd = -1;
    char path[4096];
    int r;

    if (snprintf(path, sizeof path, "%s/%s", parent, directory_name) >= (int)sizeof path)
        return why_set(why, -ENAMETOOLONG, "%.100s...: this path is too long", parent);
    if (mkdir(path, S_IRWXU) && errno != EEXIST)
        return why_set(why, -errno, "%s, where to write what is changed, cannot be made: %s", path,
                       strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return why_set(why, -errno, "%s, where to write what is changed, cannot be opened: %s",
                       path, strerror(errno));
    r = check_directory(fd, path, why);
    if (r)
        return r;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int keep_directory_open(int *ret_fd, struct why *why)
{
    const char *parent = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

    if (!parent || parent[0] != '/')
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "what is changed has to be written down first, so that it can be undone, "
                       "and XDG_RUNTIME_DIR, where it would be, is not set; set it to a directory "
                       "of yours, or run this as root");
    return keep_directory_open_in(parent, ret_fd, why);
}

static struct file_name name_of(pid_t pid, const struct process_identity *identity)
{
    struct file_name name;

    snprintf(name.text, sizeof name.text, name_format, (int)pid, identity->start_ticks,
             identity->boot_id);
    return name;
}

/* As much as such a file ever has, of a regular file of this user's; `text` holds one byte more. */
static int read_file(int directory, const char *name, char *text, size_t *ret_length,
                     struct why *why)
{
    auto_close int fd =
        openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    ssize_t length;

    if (fd < 0)
        return errno == ENOENT ? OUTCOME_NOT_FOUND
                               : why_set(why, -errno, "%s: %s", name, strerror(errno));
    if (fstat(fd, &status))
        return why_set(why, -errno, "%s: %s", name, strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        status.st_mode & (S_IWGRP | S_IWOTH))
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%s is not a file that only this user can write to: it is not believed",
                       name);
    length = read(fd, text, FILE_BYTES_MOST + 1);
    if (length < 0)
        return why_set(why, -errno, "%s: %s", name, strerror(errno));
    if (length > FILE_BYTES_MOST)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "%s is too long to be ours", name);
    *ret_length = (size_t)length;
    return 0;
}

int keep_state_load(int directory, pid_t pid, const struct process_identity *identity,
                    struct keep_state *ret, struct why *why)
{
    struct file_name name = name_of(pid, identity);
    char text[FILE_BYTES_MOST + 1];
    struct keep_state state;
    size_t length = 0;
    int r = read_file(directory, name.text, text, &length, why);

    if (r == 0)
        r = keep_state_parse(text, length, &state, why);
    if (r)
        return r < 0 || r == OUTCOME_NOT_FOUND ? r : why_prefix(why, r, "%s", name.text);
    if (state.pid != pid || state.identity.start_ticks != identity->start_ticks ||
        strcmp(state.identity.boot_id, identity->boot_id) != 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "%s is about another process", name.text);
    *ret = state;
    return 0;
}

static int write_whole(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t written = write(fd, text, length);

        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    return fsync(fd) ? -errno : 0;
}

/* What a draft's name says may have been left by one that was killed. */
static int write_draft(int directory, const char *name, const char *text)
{
    auto_close int fd = -1;

    if (unlinkat(directory, name, 0) && errno != ENOENT)
        return -errno;
    fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                S_IRUSR | S_IWUSR);
    return fd < 0 ? -errno : write_whole(fd, text, strlen(text));
}

int keep_state_save(int directory, const struct keep_state *state, struct why *why)
{
    struct file_name name = name_of(state->pid, &state->identity);
    char draft[NAME_BYTES + 8];
    auto_free char *text = keep_state_text(state);
    int r = text ? 0 : -ENOMEM;

    snprintf(draft, sizeof draft, "%s.new", name.text);
    keep_point();
    if (r == 0)
        r = write_draft(directory, draft, text);
    keep_point();
    if (r == 0 && renameat(directory, draft, directory, name.text))
        r = -errno;
    if (r == 0 && fsync(directory))
        r = -errno;
    keep_point();
    return r ? why_set(why, r,
                       "%s, in which what is changed is to be written down, cannot be written: %s",
                       name.text, strerror(-r))
             : 0;
}

int keep_state_remove(int directory, const struct keep_state *state, struct why *why)
{
    struct file_name name = name_of(state->pid, &state->identity);

    if (unlinkat(directory, name.text, 0) == 0 || errno == ENOENT)
        return 0;
    return why_set(why, -errno, "%s cannot be removed: %s", name.text, strerror(errno));
}

/* Of which process a file is, by its name or that of its draft. */
static bool parse_name(const char *name, pid_t *ret_pid, struct process_identity *ret)
{
    struct process_identity identity = {.known = true};
    struct file_name again;
    int pid;

    if (sscanf(name, "keep-%d-%" SCNu64 "-%36[0-9a-f-]", &pid, &identity.start_ticks,
               identity.boot_id) != 3)
        return false;
    again = name_of(pid, &identity);
    if (strncmp(name, again.text, strlen(again.text)) != 0 ||
        (name[strlen(again.text)] && strcmp(name + strlen(again.text), ".new") != 0))
        return false;
    *ret_pid = pid;
    *ret = identity;
    return true;
}

/* Certainly no more: what cannot be told is kept. */
static bool is_gone(const struct procfs *procfs, pid_t pid, const struct process_identity *identity,
                    const struct process_identity *self)
{
    struct process_identity now;

    if (strcmp(identity->boot_id, self->boot_id) != 0)
        return true;
    process_identity_read(procfs, pid, &now);
    if (now.known)
        return now.start_ticks != identity->start_ticks;
    return kill(pid, 0) && errno == ESRCH;
}

void keep_directory_sweep(int directory, const struct procfs *procfs)
{
    struct process_identity self, identity;
    auto_closedir DIR *list = NULL;
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;
    pid_t pid;

    process_identity_read(procfs, getpid(), &self);
    list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    while (list && self.known && (entry = readdir(list)))
        if (parse_name(entry->d_name, &pid, &identity) && is_gone(procfs, pid, &identity, &self))
            unlinkat(directory, entry->d_name, 0); /* if it cannot be, it only lies there */
}
