#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "procfs/maps.h"
#include "procfs/mountinfo.h"

static uint64_t device_key(uint32_t major, uint32_t minor)
{
    return (uint64_t)major << 32 | minor;
}

static bool has_device(const struct shmem_devices *devices, uint64_t key)
{
    for (size_t i = 0; i < devices->count; i++)
        if (devices->items[i] == key)
            return true;
    return false;
}

/* devtmpfs is a tmpfs too; ramfs is not, its pages count as file pages. */
static int add_mount(void *context, const struct mount *mount)
{
    struct shmem_devices *devices = context;
    uint64_t key = device_key(mount->dev_major, mount->dev_minor);

    if (strcmp(mount->type, "tmpfs") != 0 && strcmp(mount->type, "devtmpfs") != 0)
        return 0;
    return has_device(devices, key) ? 0 : vector_push(devices, key);
}

int shmem_devices_read(const struct procfs *procfs, pid_t pid, struct shmem_devices *ret)
{
    struct shmem_devices devices = {0};
    char process[16];
    int r;

    snprintf(process, sizeof process, "%d", pid);
    r = mountinfo_each(procfs, process, add_mount, &devices, NULL);
    if (r < 0) {
        shmem_devices_free(&devices);
        return r;
    }
    *ret = devices;
    return 0;
}

void shmem_devices_free(struct shmem_devices *devices)
{
    free(devices->items);
    *devices = (struct shmem_devices){0};
}

/*
 * The kernel's own tmpfs is mounted nowhere; its files have these names and no link (mm/shmem.c,
 * ipc/shm.c). Its device has major 0, as all without a disk.
 */
static bool is_internal_shmem(const struct vma *vma)
{
    static const char *const prefixes[] = {"/memfd:", "/SYSV", "/dev/zero", "/i915",
                                           "/drm mm object"};

    if (strncmp(vma->name, "[anon_shmem:", 12) == 0)
        return true;
    if (!vma->deleted || vma->dev_major)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(vma->name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

bool vma_is_shmem(const struct vma *vma, const struct shmem_devices *devices)
{
    if (vma->hugetlb)
        return false;
    if (is_internal_shmem(vma))
        return true;
    return vma->inode && has_device(devices, device_key(vma->dev_major, vma->dev_minor));
}
