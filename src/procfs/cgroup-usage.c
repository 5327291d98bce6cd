/* What a cgroup's charge consists of. */
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/cgroup-tree.h"
#include "procfs/parse.h"

struct stat_field {
    const char *key;
    size_t offset;
};

/* v1 tells a group alone and, as total_, with its descendants, as v2 always does. */
static const struct stat_field v1_fields[] = {
    {"total_rss", offsetof(struct cgroup_usage, anon_bytes)},
    {"total_cache", offsetof(struct cgroup_usage, file_bytes)},
    {"total_shmem", offsetof(struct cgroup_usage, shmem_bytes)},
    {"total_mapped_file", offsetof(struct cgroup_usage, mapped_file_bytes)},
    {0},
};

static const struct stat_field v2_fields[] = {
    {"anon", offsetof(struct cgroup_usage, anon_bytes)},
    {"file", offsetof(struct cgroup_usage, file_bytes)},
    {"shmem", offsetof(struct cgroup_usage, shmem_bytes)},
    {"file_mapped", offsetof(struct cgroup_usage, mapped_file_bytes)},
    {"kernel", offsetof(struct cgroup_usage, kernel_bytes)}, /* since 5.18 */
    {0},
};

static bool take_line(struct cgroup_usage *usage, const struct stat_field *fields, struct text line)
{
    struct text key;
    uint64_t value;

    if (!text_word(&line, &key))
        return false;
    text_skip_blanks(&line);
    if (!text_decimal(&line, &value))
        return false;
    for (; fields->key; fields++)
        if (text_is(key, fields->key)) {
            *(uint64_t *)(void *)((char *)usage + fields->offset) = value;
            usage->kernel_known |= fields->offset == offsetof(struct cgroup_usage, kernel_bytes);
        }
    return true;
}

/* Where memory is not enabled in v2, the charge is an ancestor's, and not this cgroup's own. */
static void read_parts(const struct procfs *procfs, struct cgroup_usage *usage)
{
    const char *directory = usage->memory.charge_path;
    int version = usage->memory.version;
    auto_free char *buffer = NULL;
    struct text text, line;
    size_t length;

    if (procfs_read(procfs, &buffer, &length, "%s/memory.stat", directory) < 0)
        return;
    text = (struct text){buffer, buffer + length};
    usage->parts_known = true;
    while (text_line(&text, &line))
        usage->parts_known &= take_line(usage, version == 2 ? v2_fields : v1_fields, line);
    if (version == 1)
        usage->kernel_known = procfs_read_u64(procfs, &usage->kernel_bytes,
                                              "%s/memory.kmem.usage_in_bytes", directory) == 0;
}

int cgroup_usage_read(const struct procfs *procfs, const struct named_cgroup *place,
                      struct cgroup_usage *ret, struct why *why)
{
    struct cgroup_usage usage = {.memory.limit_bytes = CGROUP_NO_LIMIT};
    int r = 0;

    if (place->counts_memory)
        r = cgroup_memory_at(procfs, place->version, place->path, &usage.memory, why);
    if (r < 0)
        return r;
    if (usage.memory.charge_known)
        read_parts(procfs, &usage);
    *ret = usage;
    return 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t cgroup_unmapped_file_bytes(const struct cgroup_usage *usage)
{
    return less(usage->file_bytes, usage->mapped_file_bytes);
}

uint64_t cgroup_unnamed_bytes(const struct cgroup_usage *usage)
{
    uint64_t rest = less(usage->memory.charge_bytes, usage->anon_bytes);

    return less(less(rest, usage->file_bytes), usage->kernel_bytes);
}
