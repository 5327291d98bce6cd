/* smaps and smaps_rollup: entries in order, and two readers that must agree with each other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "procfs/smaps.h"

struct seen {
    size_t count;
    remote_addr end;
    uint64_t digest, rss_bytes;
    bool overflow;
};

static void mix(uint64_t *digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *digest = (*digest ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
}

static int see(void *context, const struct smaps_entry *entry)
{
    struct seen *seen = context;
    uint64_t figures[] = {entry->range.start,
                          entry->range.end,
                          entry->rss_bytes,
                          entry->anonymous_bytes,
                          entry->anon_huge_bytes,
                          entry->swap_bytes,
                          entry->shared_dirty_bytes,
                          entry->private_hugetlb_bytes,
                          entry->hugetlb_bytes,
                          entry->locked,
                          entry->hugetlb,
                          entry->pfn_mapped,
                          entry->thp_advised,
                          entry->thp_refused,
                          entry->userfaultfd};

    fuzz_check(entry->range.start >= seen->end && entry->range.start < entry->range.end);
    fuzz_check(entry->hugetlb_bytes >= entry->private_hugetlb_bytes);
    seen->end = entry->range.end;
    seen->count++;
    seen->overflow |= __builtin_add_overflow(seen->rss_bytes, entry->rss_bytes, &seen->rss_bytes);
    mix(&seen->digest, figures, sizeof figures);
    return 0;
}

/* From a file, by the same lines: only a last one without its end is treated differently. */
static void check_file(const uint8_t *data, size_t size, int parsed, const struct seen *seen)
{
    struct seen again = {0};
    struct why why = {{0}};
    int r;

    fuzz_tree_file("proc/1/smaps", data, size);
    r = smaps_each(fuzz_tree(), 1, see, &again, &why);
    fuzz_check_failure(r, &why, -ESRCH, 0);
    if (size == 0 || data[size - 1] != '\n')
        return;
    fuzz_check((r == 0) == (parsed == 0));
    fuzz_check(again.count == seen->count && again.digest == seen->digest);
}

static void check_rollup(const uint8_t *data, size_t size, int parsed, const struct seen *seen)
{
    struct smaps_rollup rollup;
    struct why why = {{0}};
    int r;

    fuzz_tree_file("proc/1/smaps_rollup", data, size);
    r = smaps_rollup_read(fuzz_tree(), 1, &rollup, &why);
    fuzz_check_failure(r, &why, -ESRCH, 0);
    if (r == 0 && parsed == 0)
        fuzz_check(!seen->overflow && rollup.rss_bytes == seen->rss_bytes);
}

/* Fields begin with a capital letter; what is left is maps. */
static char *mappings_of(const uint8_t *data, size_t size, size_t *ret_length)
{
    char *text = malloc(size + 1);
    size_t length = 0;

    fuzz_check(text);
    for (size_t begin = 0; begin < size;) {
        const uint8_t *newline = memchr(data + begin, '\n', size - begin);
        size_t end = newline ? (size_t)(newline - data) + 1 : size;

        if (data[begin] < 'A' || data[begin] > 'Z') {
            memcpy(text + length, data + begin, end - begin);
            length += end - begin;
        }
        begin = end;
    }
    *ret_length = length;
    return text;
}

struct comparison {
    const struct maps *maps;
    size_t next;
};

static int compare_flags(void *context, const struct smaps_entry *entry)
{
    struct comparison *comparison = context;
    const struct vma *vma = &comparison->maps->items[comparison->next++];

    fuzz_check(comparison->next <= comparison->maps->count);
    fuzz_check(vma->range.start == entry->range.start && vma->range.end == entry->range.end);
    fuzz_check(vma->locked == entry->locked && vma->pfn_mapped == entry->pfn_mapped);
    fuzz_check(vma->hugetlb || !entry->hugetlb);
    return 0;
}

/* The flags go to the mappings they stand behind. */
static void check_flags(const uint8_t *data, size_t size)
{
    size_t length;
    char *text = mappings_of(data, size, &length);
    struct comparison comparison = {0};
    struct maps maps;

    if (maps_parse(text, length, &maps, NULL) == 0) {
        comparison.maps = &maps;
        if (smaps_read_flags(fuzz_tree(), 1, &maps, NULL) == 0)
            fuzz_check(smaps_parse((const char *)data, size, compare_flags, &comparison, NULL) ==
                       0);
        maps_free(&maps);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why why = {{0}};
    struct seen seen = {0};
    int r = smaps_parse((const char *)data, size, see, &seen, &why);

    fuzz_check_failure(r, &why, 0, 0);
    check_file(data, size, r, &seen);
    check_rollup(data, size, r, &seen);
    check_flags(data, size);
    return 0;
}
