#include "procfs/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "procfs/maps-line.h"
#include "procfs/process.h"

/*
 * The kernel promises that addresses never go backwards, even while the process changes its
 * mappings (Documentation/filesystems/proc.rst), so anything else is no maps file.
 */
static const char *what_is_wrong(const struct maps *maps, struct range range)
{
    if (range.start >= range.end)
        return "a mapping in maps is empty or reversed";
    if ((range.start | range.end) % PAGE_BYTES)
        return "a mapping in maps is not page-aligned";
    if (maps->count && range.start < maps->items[maps->count - 1].range.end)
        return "a mapping in maps overlaps the one before it";
    return NULL;
}

/* Ends the name where its line ends: `line` lies in maps->text, and what follows it is its newline.
 */
static const char *own_name(struct text name)
{
    char *string = (char *)name.at; /* in our own copy */

    string[text_unescape(string, text_length(name), true)] = '\0';
    return string;
}

static int parse_one(struct maps *maps, struct text line, struct why *why)
{
    struct vma vma;
    struct text name;
    const char *wrong;
    int r;

    if (!maps_line_parse(line, &vma, &name))
        return text_refuse(why, "cannot understand a line of maps", line);
    wrong = what_is_wrong(maps, vma.range);
    if (wrong)
        return text_refuse(why, wrong, line);
    vma.name = own_name(name);
    r = vector_push(maps, vma);
    return r < 0 ? why_set(why, r, "out of memory at mapping %zu", maps->count) : 0;
}

/* Takes `text`, which the names go on living in. */
static int parse_owned(char *buffer, size_t length, struct maps *ret_maps, struct why *why)
{
    struct maps maps = {.text = buffer};
    struct text text = {buffer, buffer + length}, line = text;
    int r = 0;

    if (length && buffer[length - 1] != '\n') {
        while (text_line(&text, &line))
            continue;
        r = text_refuse(why, "the last line of maps is cut off", line);
    }
    while (r == 0 && text_line(&text, &line))
        r = parse_one(&maps, line, why);
    if (r < 0) {
        maps_free(&maps);
        return r;
    }
    *ret_maps = maps;
    return 0;
}

int maps_parse(const char *text, size_t length, struct maps *ret_maps, struct why *why)
{
    char *copy = malloc(length + 1);

    if (!copy)
        return why_set(why, -ENOMEM, "out of memory for %zu bytes of maps", length);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return parse_owned(copy, length, ret_maps, why);
}

int maps_read(const struct procfs *procfs, pid_t pid, struct maps *ret_maps, struct why *why)
{
    char *text;
    size_t length;
    int r = procfs_read(procfs, &text, &length, "proc/%d/maps", pid);

    if (r == 0 && length == 0) { /* a process whose memory is gone: older kernels give no error */
        free(text);
        r = -ESRCH;
    }
    if (r < 0)
        return process_error(procfs, pid, r, "maps", why);
    return parse_owned(text, length, ret_maps, why);
}

void maps_free(struct maps *maps)
{
    free(maps->items);
    free(maps->text);
    *maps = (struct maps){0};
}

size_t maps_index_above(const struct maps *maps, remote_addr address)
{
    size_t low = 0, high = maps->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (maps->items[middle].range.end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const struct vma *maps_find(const struct maps *maps, remote_addr address)
{
    size_t i = maps_index_above(maps, address);

    return i < maps->count && range_has(maps->items[i].range, address) ? &maps->items[i] : NULL;
}

bool vma_is_special(const struct vma *vma)
{
    static const char *const names[] = {"[vvar]",    "[vvar_vclock]", "[vdso]",   "[vsyscall]",
                                        "[vectors]", "[sigpage]",     "[uprobes]"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(vma->name, names[i]) == 0)
            return true;
    return false;
}

/* A driver may name a mapping of its own with inode 0; only a path or a device number gives it
 * away. */
bool vma_is_anonymous(const struct vma *vma)
{
    if (vma->shared || vma->inode || vma->dev_major || vma->dev_minor || vma_is_special(vma))
        return false;
    return vma->name[0] == '\0' || vma->name[0] == '[';
}
