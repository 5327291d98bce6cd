#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MOST = 64 };

static struct {
    struct procfs procfs;
    char root[PATH_MAX];
    struct {
        const char *path;
        int fd;
    } files[FILES_MOST];
    size_t count;
} tree;

void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}

void fuzz_check_failure(int r, const struct why *why, int also_1, int also_2)
{
    if (r == 0)
        return;
    fuzz_check(r == -EBADMSG || r == also_1 || r == also_2);
    fuzz_check(memchr(why->text, '\0', sizeof why->text));
    fuzz_check(why->text[0]);
}

struct fuzz_part fuzz_next_part(struct fuzz_part *rest)
{
    struct fuzz_part part = *rest;
    const uint8_t *end = part.size ? memchr(part.data, FUZZ_SEPARATOR, part.size) : NULL;

    if (!end) {
        *rest = (struct fuzz_part){part.data + part.size, 0};
        return part;
    }
    part.size = (size_t)(end - part.data);
    *rest = (struct fuzz_part){end + 1, rest->size - part.size - 1};
    return part;
}

/* Below the root; with the directories that `make` asks for, or without any. */
static void each_directory(const char *path, int (*act)(const char *name), bool upwards)
{
    char name[PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/%s", tree.root, path);

    fuzz_check(length > 0 && (size_t)length < sizeof name);
    if (!upwards) {
        for (char *slash = name + strlen(tree.root) + 1; (slash = strchr(slash, '/')); slash++) {
            *slash = '\0';
            act(name);
            *slash = '/';
        }
        return;
    }
    for (char *slash; (slash = strrchr(name, '/')) && slash > name + strlen(tree.root);) {
        *slash = '\0';
        act(name);
    }
}

static int make_directory(const char *name)
{
    return mkdir(name, 0700);
}

static void remove_tree(void)
{
    for (size_t i = 0; i < tree.count; i++) {
        (void)unlinkat(tree.procfs.root_fd, tree.files[i].path, 0);
        each_directory(tree.files[i].path, rmdir, true); /* refused while others are left */
    }
    rmdir(tree.root);
    procfs_close(&tree.procfs);
}

const struct procfs *fuzz_tree(void)
{
    const char *parent = getenv("TMPDIR");

    if (tree.root[0])
        return &tree.procfs;
    snprintf(tree.root, sizeof tree.root, "%s/residue-tree-XXXXXX", parent ? parent : "/tmp");
    fuzz_check(mkdtemp(tree.root));
    fuzz_check(procfs_open(&tree.procfs, tree.root, NULL) == 0);
    atexit(remove_tree);
    return &tree.procfs;
}

/* A file in memory behind a symbolic link: writing to a disk would be most of the time. */
static int make_file(const char *path)
{
    char target[40], name[PATH_MAX + 64];
    int fd = memfd_create("residue-fuzz", MFD_CLOEXEC);

    fuzz_check(fd >= 0 && tree.count < FILES_MOST);
    each_directory(path, make_directory, false);
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    snprintf(name, sizeof name, "%s/%s", tree.root, path);
    fuzz_check(symlink(target, name) == 0);
    tree.files[tree.count].path = path;
    tree.files[tree.count++].fd = fd;
    return fd;
}

void fuzz_tree_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = -1;

    fuzz_tree();
    for (size_t i = 0; i < tree.count && fd < 0; i++)
        if (strcmp(tree.files[i].path, path) == 0)
            fd = tree.files[i].fd;
    if (fd < 0)
        fd = make_file(path);
    fuzz_check(ftruncate(fd, 0) == 0);
    fuzz_check(pwrite(fd, data, size, 0) == (ssize_t)size);
}
