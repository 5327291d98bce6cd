#include "procfs/maps-line.h"

#include <string.h>

static bool parse_permissions(struct text *line, struct vma *vma)
{
    const char *at = line->at;

    if (text_length(*line) < 4)
        return false;
    if ((at[0] != 'r' && at[0] != '-') || (at[1] != 'w' && at[1] != '-') ||
        (at[2] != 'x' && at[2] != '-') || (at[3] != 's' && at[3] != 'p'))
        return false;
    vma->readable = at[0] == 'r';
    vma->writable = at[1] == 'w';
    vma->executable = at[2] == 'x';
    vma->shared = at[3] == 's';
    line->at += 4;
    return true;
}

static bool parse_device(struct text *line, struct vma *vma)
{
    uint64_t major, minor;

    if (!text_hex(line, &major) || !text_char(line, ':') || !text_hex(line, &minor))
        return false;
    if (major > UINT32_MAX || minor > UINT32_MAX)
        return false;
    vma->dev_major = (uint32_t)major;
    vma->dev_minor = (uint32_t)minor;
    return true;
}

/* Hugetlb mappings with no file of their own come from an internal file of this name
 * (hugetlb_file_setup). */
static bool names_hugetlb(struct text name, bool deleted)
{
    return deleted && text_is(name, "/anon_hugepage");
}

bool maps_line_parse(struct text line, struct vma *ret_vma, struct text *ret_name)
{
    static const char deleted[] = " (deleted)";
    struct vma vma = {.name = ""};

    if (!text_hex(&line, &vma.range.start) || !text_char(&line, '-') ||
        !text_hex(&line, &vma.range.end) || !text_char(&line, ' ') ||
        !parse_permissions(&line, &vma) || !text_char(&line, ' ') ||
        !text_hex(&line, &vma.offset) || !text_char(&line, ' ') || !parse_device(&line, &vma) ||
        !text_char(&line, ' ') || !text_decimal(&line, &vma.inode))
        return false;
    if (text_length(line) && *line.at != ' ')
        return false;
    if (memchr(line.at, '\0', text_length(line)))
        return false;
    text_skip_blanks(&line);
    vma.deleted = text_ends(line, deleted);
    if (vma.deleted)
        line.end -= sizeof deleted - 1;
    vma.hugetlb = names_hugetlb(line, vma.deleted);
    *ret_vma = vma;
    *ret_name = line;
    return true;
}
