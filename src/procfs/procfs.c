#include "procfs/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "procfs/parse.h"

/* No file of the kernel comes near: a mapping is a line of about 100 bytes. */
#define FILE_BYTES_MAX ((size_t)1 << 30)

int procfs_open(struct procfs *ret_procfs, const char *root, struct why *why)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return why_set(why, -errno, "cannot open the root directory %s: %m", root);
    ret_procfs->root_fd = fd;
    return 0;
}

void procfs_close(struct procfs *procfs)
{
    if (procfs->root_fd >= 0)
        close(procfs->root_fd);
    procfs->root_fd = -1;
}

/* Makes the path and takes leading slashes off, which would leave the root directory. */
static int printf_like(2, 0) make_path(char path[static PATH_MAX], const char *format, va_list args)
{
    int length = vsnprintf(path, PATH_MAX, format, args);
    size_t slashes;

    if (length < 0)
        return -EINVAL;
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    slashes = strspn(path, "/");
    memmove(path, path + slashes, (size_t)length - slashes + 1);
    return 0;
}

static int open_below(const struct procfs *procfs, int flags, const char *path)
{
    int fd = openat(procfs->root_fd, *path ? path : ".", flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

int procfs_open_file(const struct procfs *procfs, const char *path_format, ...)
{
    char path[PATH_MAX];
    va_list args;
    int r;

    va_start(args, path_format);
    r = make_path(path, path_format, args);
    va_end(args);
    return r < 0 ? r : open_below(procfs, 0, path);
}

bool procfs_is_directory(const struct procfs *procfs, const char *path)
{
    struct stat st;

    path += strspn(path, "/");
    return fstatat(procfs->root_fd, *path ? path : ".", &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* Doubles the buffer; one byte is always kept for the NUL. */
static int grow(char **text, size_t *capacity)
{
    size_t wanted = *capacity ? *capacity * 2 : 16384;
    char *grown;

    if (wanted > FILE_BYTES_MAX)
        return -EFBIG;
    grown = realloc(*text, wanted);
    if (!grown)
        return -ENOMEM;
    *text = grown;
    *capacity = wanted;
    return 0;
}

static int read_all(int fd, char **ret_text, size_t *ret_length)
{
    auto_free char *text = NULL;
    size_t length = 0, capacity = 0;

    for (;;) {
        ssize_t n;
        int r = length + 1 < capacity ? 0 : grow(&text, &capacity);

        if (r < 0)
            return r;
        n = read(fd, text + length, capacity - length - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    text[length] = '\0';
    *ret_text = text;
    *ret_length = length;
    text = NULL;
    return 0;
}

static int read_path(const struct procfs *procfs, const char *path, char **ret_text,
                     size_t *ret_length)
{
    auto_close int fd = open_below(procfs, 0, path);

    return fd < 0 ? fd : read_all(fd, ret_text, ret_length);
}

int procfs_read(const struct procfs *procfs, char **ret_text, size_t *ret_length,
                const char *path_format, ...)
{
    char path[PATH_MAX];
    va_list args;
    int r;

    va_start(args, path_format);
    r = make_path(path, path_format, args);
    va_end(args);
    return r < 0 ? r : read_path(procfs, path, ret_text, ret_length);
}

int procfs_read_u64(const struct procfs *procfs, unsigned long *ret_value, const char *path_format,
                    ...)
{
    char path[PATH_MAX];
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;
    uint64_t value;
    va_list args;
    int r;

    va_start(args, path_format);
    r = make_path(path, path_format, args);
    va_end(args);
    if (r == 0)
        r = read_path(procfs, path, &buffer, &length);
    if (r < 0)
        return r;
    text = (struct text){buffer, buffer + length};
    if (!text_line(&text, &line) || text_length(text))
        return -EINVAL;
    if (text_is(line, "max"))
        value = UINT64_MAX;
    else if (!text_decimal(&line, &value) || text_length(line))
        return -EINVAL;
    *ret_value = value;
    return 0;
}

int procfs_read_link(const struct procfs *procfs, char **ret_target, const char *path_format, ...)
{
    char path[PATH_MAX];
    char target[PATH_MAX + 1]; /* procfs never tells more than a page */
    va_list args;
    ssize_t length;
    int r;

    va_start(args, path_format);
    r = make_path(path, path_format, args);
    va_end(args);
    if (r < 0)
        return r;
    length = readlinkat(procfs->root_fd, path, target, sizeof target - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    *ret_target = strdup(target);
    return *ret_target ? 0 : -ENOMEM;
}

struct pids {
    pid_t *items;
    size_t count, capacity;
};

static int compare_pids(const void *a, const void *b)
{
    const pid_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int collect_pids(DIR *dir, struct pids *pids)
{
    struct dirent *entry;

    while (errno = 0, (entry = readdir(dir))) {
        struct text name = {entry->d_name, entry->d_name + strlen(entry->d_name)};
        uint64_t value;
        int r;

        if (!text_decimal(&name, &value) || text_length(name) || value == 0 || value > INT_MAX)
            continue;
        r = vector_push(pids, (pid_t)value);
        if (r < 0)
            return r;
    }
    return -errno;
}

static int list_pids(const struct procfs *procfs, const char *path, pid_t **ret_pids,
                     size_t *ret_count)
{
    auto_closedir DIR *dir = NULL;
    struct pids pids = {0};
    int fd, r;

    fd = open_below(procfs, O_DIRECTORY, path);
    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir) {
        r = -errno;
        close(fd);
        return r;
    }
    r = collect_pids(dir, &pids);
    if (r < 0) {
        free(pids.items);
        return r;
    }
    if (pids.count)
        qsort(pids.items, pids.count, sizeof *pids.items, compare_pids);
    *ret_pids = pids.items;
    *ret_count = pids.count;
    return 0;
}

int procfs_list_tasks(const struct procfs *procfs, pid_t pid, pid_t **ret_tids, size_t *ret_count)
{
    char path[64];
    pid_t *tids;
    size_t count;
    int r;

    snprintf(path, sizeof path, "proc/%d/task", pid);
    r = list_pids(procfs, path, &tids, &count);
    if (r < 0)
        return r;
    if (count == 0) { /* the last thread went between open and read */
        free(tids);
        return -ESRCH;
    }
    *ret_tids = tids;
    *ret_count = count;
    return 0;
}

int procfs_list_processes(const struct procfs *procfs, pid_t **ret_pids, size_t *ret_count)
{
    return list_pids(procfs, "proc", ret_pids, ret_count);
}
