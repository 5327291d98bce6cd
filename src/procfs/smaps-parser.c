#include "procfs/smaps-parser.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "procfs/maps-line.h"

static const struct {
    const char *key;
    size_t offset, offset_too; /* the second is 0 where there is none */
} fields[] = {
    {"Rss", offsetof(struct smaps_entry, rss_bytes), 0},
    {"Anonymous", offsetof(struct smaps_entry, anonymous_bytes), 0},
    {"AnonHugePages", offsetof(struct smaps_entry, anon_huge_bytes), 0},
    {"Swap", offsetof(struct smaps_entry, swap_bytes), 0},
    {"Shared_Dirty", offsetof(struct smaps_entry, shared_dirty_bytes), 0},
    {"Private_Hugetlb", offsetof(struct smaps_entry, private_hugetlb_bytes),
     offsetof(struct smaps_entry, hugetlb_bytes)},
    {"Shared_Hugetlb", offsetof(struct smaps_entry, hugetlb_bytes), 0},
};

bool smaps_kilobytes(struct text line, struct text *ret_key, uint64_t *ret_bytes)
{
    const char *colon = memchr(line.at, ':', text_length(line));
    struct text value;
    uint64_t number;

    if (!colon)
        return false;
    value = (struct text){colon + 1, line.end};
    text_skip_blanks(&value);
    if (!text_decimal(&value, &number) || !text_is(value, " kB") ||
        __builtin_mul_overflow(number, 1024u, ret_bytes))
        return false;
    *ret_key = (struct text){line.at, colon};
    return true;
}

static bool add_to(struct smaps_entry *entry, size_t offset, uint64_t bytes)
{
    uint64_t *field = (uint64_t *)(void *)((char *)entry + offset);

    return !__builtin_add_overflow(*field, bytes, field);
}

static bool take_field(struct smaps_entry *entry, struct text key, uint64_t bytes)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (text_is(key, fields[i].key))
            return add_to(entry, fields[i].offset, bytes) &&
                   (!fields[i].offset_too || add_to(entry, fields[i].offset_too, bytes));
    return true;
}

static void take_flags(struct smaps_entry *entry, struct text flags)
{
    struct text flag;

    for (text_skip_blanks(&flags); text_word(&flags, &flag); text_skip_blanks(&flags)) {
        entry->locked |= text_is(flag, "lo");
        entry->hugetlb |= text_is(flag, "ht");
        entry->pfn_mapped |= text_is(flag, "pf");
        entry->thp_advised |= text_is(flag, "hg");
        entry->thp_refused |= text_is(flag, "nh");
        entry->userfaultfd |= text_is(flag, "um") || text_is(flag, "uw") || text_is(flag, "ui");
        entry->tagged |= text_is(flag, "mt");
        entry->shadow_stack |= text_is(flag, "ss");
    }
}

/* Fields begin with a capital letter, the line of a mapping with a hexadecimal digit in lower case.
 */
static bool is_field(struct text line)
{
    return text_length(line) && *line.at >= 'A' && *line.at <= 'Z';
}

static int begin_entry(struct smaps_parser *parser, struct text line, struct why *why)
{
    struct vma vma;
    struct text name;
    int r = smaps_parser_end(parser);

    if (r)
        return r;
    if (!maps_line_parse(line, &vma, &name) || vma.range.start >= vma.range.end)
        return text_refuse(why, "cannot understand a line of smaps", line);
    if (vma.range.start < parser->entry.range.end)
        return text_refuse(why, "a mapping in smaps overlaps the one before it", line);
    parser->entry = (struct smaps_entry){.range = vma.range};
    parser->in_entry = true;
    return 0;
}

int smaps_parser_line(struct smaps_parser *parser, struct text line, struct why *why)
{
    struct text key, flags = line;
    uint64_t bytes;

    if (!is_field(line))
        return begin_entry(parser, line, why);
    if (!parser->in_entry)
        return text_refuse(why, "smaps does not begin with a mapping", line);
    if (text_starts(line, "VmFlags:")) {
        flags.at += strlen("VmFlags:");
        take_flags(&parser->entry, flags);
    } else if (smaps_kilobytes(line, &key, &bytes)) {
        if (!take_field(&parser->entry, key, bytes))
            return text_refuse(why, "a number in smaps is too large", line);
    } else if (!memchr(line.at, ':', text_length(line))) {
        return text_refuse(why, "cannot understand a line of smaps", line);
    }
    return 0;
}

int smaps_parser_end(struct smaps_parser *parser)
{
    bool had = parser->in_entry;

    parser->in_entry = false;
    return had ? parser->each(parser->context, &parser->entry) : 0;
}
