#include "procfs/smaps.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/process.h"
#include "procfs/smaps-parser.h"

/* A line is at most an escaped path: four bytes for each of PATH_MAX. */
enum { LINE_BYTES_MAX = 64 << 10 };

struct line_file {
    int fd;
    bool ended;
    size_t begin, end; /* of what is still unread in `buffer` */
    char buffer[LINE_BYTES_MAX];
};

static int fill(struct line_file *file)
{
    ssize_t n;

    memmove(file->buffer, file->buffer + file->begin, file->end - file->begin);
    file->end -= file->begin;
    file->begin = 0;
    if (file->end == sizeof file->buffer)
        return -EBADMSG;
    do {
        n = read(file->fd, file->buffer + file->end, sizeof file->buffer - file->end);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    file->ended = n == 0;
    file->end += (size_t)n;
    return 0;
}

/* 1 a line, 0 the end, negative errno; -EBADMSG for a line that never ends. */
static int next_line(struct line_file *file, struct text *ret_line)
{
    for (;;) {
        const char *begin = file->buffer + file->begin;
        const char *newline = memchr(begin, '\n', file->end - file->begin);
        int r;

        if (newline) {
            *ret_line = (struct text){begin, newline};
            file->begin = (size_t)(newline + 1 - file->buffer);
            return 1;
        }
        if (file->ended)
            return file->begin == file->end ? 0 : -EBADMSG;
        r = fill(file);
        if (r < 0)
            return r;
    }
}

static int file_error(const struct procfs *procfs, pid_t pid, int error, const char *name,
                      struct why *why)
{
    if (error == -EBADMSG)
        return why_set(why, error, "a line of /proc/%d/%s does not end", pid, name);
    return process_error(procfs, pid, error, name, why);
}

typedef int (*take_line)(void *context, struct text line, struct why *why);

/* Hands over every line of /proc/PID/`name`; a file without any is one of a process without memory.
 */
static int each_line(const struct procfs *procfs, pid_t pid, const char *name, take_line take,
                     void *context, struct why *why)
{
    auto_free struct line_file *file = malloc(sizeof *file);
    auto_close int fd = procfs_open_file(procfs, "proc/%d/%s", pid, name);
    struct text line;
    bool empty = true;
    int r;

    if (!file)
        return why_set(why, -ENOMEM, "out of memory for reading /proc/%d/%s", pid, name);
    if (fd < 0)
        return process_error(procfs, pid, fd, name, why);
    file->fd = fd;
    file->ended = false;
    file->begin = file->end = 0;
    while ((r = next_line(file, &line)) > 0) {
        empty = false;
        r = take(context, line, why);
        if (r)
            return r;
    }
    if (r == 0 && empty)
        r = -ESRCH;
    return r < 0 ? file_error(procfs, pid, r, name, why) : 0;
}

static int parser_takes(void *context, struct text line, struct why *why)
{
    return smaps_parser_line(context, line, why);
}

int smaps_each(const struct procfs *procfs, pid_t pid,
               int (*each)(void *context, const struct smaps_entry *entry), void *context,
               struct why *why)
{
    struct smaps_parser parser = {.each = each, .context = context};
    int r = each_line(procfs, pid, "smaps", parser_takes, &parser, why);

    return r ? r : smaps_parser_end(&parser);
}

int smaps_parse(const char *text, size_t length,
                int (*each)(void *context, const struct smaps_entry *entry), void *context,
                struct why *why)
{
    struct smaps_parser parser = {.each = each, .context = context};
    struct text rest = {text, text + length}, line;

    while (text_line(&rest, &line)) {
        int r = smaps_parser_line(&parser, line, why);

        if (r)
            return r;
    }
    return smaps_parser_end(&parser);
}

static const struct {
    const char *key;
    size_t offset;
} rollup_fields[] = {
    {"Rss", offsetof(struct smaps_rollup, rss_bytes)},
    {"Pss", offsetof(struct smaps_rollup, pss_bytes)},
    {"Shared_Clean", offsetof(struct smaps_rollup, shared_clean_bytes)},
    {"Shared_Dirty", offsetof(struct smaps_rollup, shared_dirty_bytes)},
    {"Private_Clean", offsetof(struct smaps_rollup, private_clean_bytes)},
    {"Private_Dirty", offsetof(struct smaps_rollup, private_dirty_bytes)},
    {"Anonymous", offsetof(struct smaps_rollup, anonymous_bytes)},
    {"LazyFree", offsetof(struct smaps_rollup, lazyfree_bytes)},
    {"AnonHugePages", offsetof(struct smaps_rollup, anon_huge_bytes)},
    {"ShmemPmdMapped", offsetof(struct smaps_rollup, shmem_huge_bytes)},
    {"FilePmdMapped", offsetof(struct smaps_rollup, file_huge_bytes)},
    {"Shared_Hugetlb", offsetof(struct smaps_rollup, hugetlb_bytes)},
    {"Private_Hugetlb", offsetof(struct smaps_rollup, hugetlb_bytes)},
    {"Swap", offsetof(struct smaps_rollup, swap_bytes)},
    {"Locked", offsetof(struct smaps_rollup, locked_bytes)},
};

struct rollup {
    struct smaps_rollup sums;
    bool has_rss;
};

static int rollup_takes(void *context, struct text line, struct why *why)
{
    struct rollup *rollup = context;
    struct text key;
    uint64_t bytes;

    if (!smaps_kilobytes(line, &key, &bytes))
        return 0; /* the line of a mapping, VmFlags, ... */
    rollup->has_rss |= text_is(key, "Rss");
    for (size_t i = 0; i < sizeof rollup_fields / sizeof *rollup_fields; i++) {
        uint64_t *sum = (uint64_t *)(void *)((char *)&rollup->sums + rollup_fields[i].offset);

        if (text_is(key, rollup_fields[i].key) && __builtin_add_overflow(*sum, bytes, sum))
            return text_refuse(why, "a number in smaps is too large", line);
    }
    return 0;
}

int smaps_rollup_read(const struct procfs *procfs, pid_t pid, struct smaps_rollup *ret,
                      struct why *why)
{
    struct rollup rollup = {0};
    int r = each_line(procfs, pid, "smaps_rollup", rollup_takes, &rollup, why);

    if (r == -ENOENT)
        r = each_line(procfs, pid, "smaps", rollup_takes, &rollup, why);
    if (r < 0)
        return r;
    if (!rollup.has_rss)
        return why_set(why, -EBADMSG, "/proc/%d/smaps_rollup has no Rss line", pid);
    *ret = rollup.sums;
    return 0;
}

struct flag_walk {
    struct maps *maps;
    size_t next; /* mappings before it end before the entries to come */
};

static int merge_flags(void *context, const struct smaps_entry *entry)
{
    struct flag_walk *walk = context;
    struct maps *maps = walk->maps;

    while (walk->next < maps->count && maps->items[walk->next].range.end <= entry->range.start)
        walk->next++;
    for (size_t i = walk->next; i < maps->count && maps->items[i].range.start < entry->range.end;
         i++) {
        maps->items[i].locked |= entry->locked;
        maps->items[i].hugetlb |= entry->hugetlb;
        maps->items[i].pfn_mapped |= entry->pfn_mapped;
    }
    return 0;
}

int smaps_read_flags(const struct procfs *procfs, pid_t pid, struct maps *maps, struct why *why)
{
    struct flag_walk walk = {.maps = maps};

    for (size_t i = 0; i < maps->count; i++)
        maps->items[i].locked = maps->items[i].pfn_mapped = false;
    return smaps_each(procfs, pid, merge_flags, &walk, why);
}
