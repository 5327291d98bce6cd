/* Opening the very file that a process has mapped, under whatever name it can still be reached. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "elf/file.h"

/*
 * Files on btrfs and some overlays have another device number in stat than in maps. So the kernel
 * is asked how it would name this file in maps: by mapping it here.
 */
static bool kernel_names_it_so(const struct procfs *procfs, int fd, const struct vma *wanted)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    struct maps maps;
    bool same = false;

    if (page == MAP_FAILED)
        return false;
    if (maps_read(procfs, getpid(), &maps, NULL) == 0) {
        const struct vma *ours = maps_find(&maps, (remote_addr)(uintptr_t)page);
        same = ours && ours->inode == wanted->inode && ours->dev_major == wanted->dev_major &&
               ours->dev_minor == wanted->dev_minor;
        maps_free(&maps);
    }
    munmap(page, PAGE_BYTES);
    return same;
}

static bool is_same_file(const struct procfs *procfs, int fd, const struct vma *vma)
{
    struct stat file;

    if (fstat(fd, &file) != 0 || file.st_ino != vma->inode)
        return false;
    if (major(file.st_dev) == vma->dev_major && minor(file.st_dev) == vma->dev_minor)
        return true;
    return kernel_names_it_so(procfs, fd, vma);
}

/* Devices and pipes are told apart before they are opened: opening one can have effects, or block.
 */
static int open_regular(const struct procfs *procfs, const char *path)
{
    struct stat file;

    if (fstatat(procfs->root_fd, path, &file, 0) != 0)
        return -errno;
    if (!S_ISREG(file.st_mode))
        return -EMEDIUMTYPE;
    int fd = openat(procfs->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static int open_by_name(const struct procfs *procfs, pid_t pid, const struct vma *vma)
{
    char path[4200];
    int length = snprintf(path, sizeof path, "proc/%d/root%s", (int)pid, vma->name);

    if (vma->deleted || vma->name[0] != '/')
        return -ENOENT;
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    return open_regular(procfs, path);
}

/* The main program can be reached through /proc/PID/exe even when it is deleted. */
static int open_program(const struct procfs *procfs, pid_t pid)
{
    char path[40];

    snprintf(path, sizeof path, "proc/%d/exe", (int)pid);
    return open_regular(procfs, path);
}

static int keep_if_same(const struct procfs *procfs, int fd, const struct vma *vma)
{
    if (fd >= 0 && !is_same_file(procfs, fd, vma)) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

static int tell(struct why *why, int error, const struct vma *vma)
{
    if (error == -ESTALE || (error == -ENOENT && vma->name[0] == '/'))
        return why_set(why, error,
                       "the file was deleted or replaced on disk, and opening the one still in use "
                       "(/proc/PID/map_files) needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
    if (error == -EMEDIUMTYPE)
        return why_set(why, error, "it is no regular file");
    return why_set(why, error, "%s", strerror(-error));
}

int elf_open_mapped(const struct procfs *procfs, pid_t pid, const struct vma *vma, struct why *why)
{
    char path[80];

    snprintf(path, sizeof path, "proc/%d/map_files/%llx-%llx", (int)pid,
             (unsigned long long)vma->range.start, (unsigned long long)vma->range.end);
    int fd = open_regular(procfs, path);
    if (fd >= 0 || fd == -EMFILE || fd == -ENFILE)
        return fd >= 0 ? fd : tell(why, fd, vma);

    int by_name = keep_if_same(procfs, open_by_name(procfs, pid, vma), vma);
    if (by_name >= 0)
        return by_name;
    fd = keep_if_same(procfs, open_program(procfs, pid), vma);
    return fd >= 0 ? fd : tell(why, by_name, vma);
}
