/* /proc/PID/maps: what is accepted is sorted and says, written as the kernel writes it, the same
 * again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "procfs/maps.h"

static void check_order(const struct maps *maps)
{
    remote_addr end = 0;

    for (size_t i = 0; i < maps->count; i++) {
        struct range range = maps->items[i].range;

        fuzz_check(range.start >= end && range.start < range.end);
        fuzz_check((range.start | range.end) % PAGE_BYTES == 0);
        end = range.end;
    }
}

static void check_search(const struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++) {
        const struct vma *vma = &maps->items[i];
        bool follows = i + 1 < maps->count && maps->items[i + 1].range.start == vma->range.end;

        fuzz_check(maps_find(maps, vma->range.start) == vma);
        fuzz_check(maps_find(maps, vma->range.end - 1) == vma);
        fuzz_check(maps_find(maps, vma->range.end) == (follows ? vma + 1 : NULL));
        fuzz_check(maps_index_above(maps, vma->range.end - 1) == i);
    }
}

/* The kernel escapes newlines, and nothing else (seq_file_path). */
static void print_name(FILE *file, const struct vma *vma)
{
    for (const char *c = vma->name; *c; c++)
        if (*c == '\n')
            fputs("\\012", file);
        else
            fputc(*c, file);
    if (vma->deleted)
        fputs(" (deleted)", file);
}

static void print_vma(FILE *file, const struct vma *vma)
{
    fprintf(file, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ",
            (unsigned long long)vma->range.start, (unsigned long long)vma->range.end,
            vma->readable ? 'r' : '-', vma->writable ? 'w' : '-', vma->executable ? 'x' : '-',
            vma->shared ? 's' : 'p', (unsigned long long)vma->offset, vma->dev_major,
            vma->dev_minor, (unsigned long long)vma->inode);
    print_name(file, vma);
    fputc('\n', file);
}

static void check_same(const struct vma *a, const struct vma *b)
{
    fuzz_check(a->range.start == b->range.start && a->range.end == b->range.end);
    fuzz_check(a->readable == b->readable && a->writable == b->writable &&
               a->executable == b->executable);
    fuzz_check(a->shared == b->shared && a->hugetlb == b->hugetlb && a->deleted == b->deleted);
    fuzz_check(a->offset == b->offset && a->inode == b->inode);
    fuzz_check(a->dev_major == b->dev_major && a->dev_minor == b->dev_minor);
    fuzz_check(strcmp(a->name, b->name) == 0);
    fuzz_check(vma_is_anonymous(a) == vma_is_anonymous(b) &&
               vma_is_special(a) == vma_is_special(b));
}

static void check_round_trip(const struct maps *maps)
{
    struct maps again;
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);

    fuzz_check(file);
    for (size_t i = 0; i < maps->count; i++)
        print_vma(file, &maps->items[i]);
    fclose(file);
    fuzz_check(maps_parse(text, length, &again, NULL) == 0);
    fuzz_check(again.count == maps->count);
    for (size_t i = 0; i < maps->count; i++)
        check_same(&maps->items[i], &again.items[i]);
    maps_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct shmem_devices no_devices;
    struct why why = {{0}};
    struct maps maps;
    int r = maps_parse((const char *)data, size, &maps, &why);

    fuzz_check_failure(r, &why, 0, 0);
    if (r)
        return 0;
    check_order(&maps);
    check_search(&maps);
    check_round_trip(&maps);
    for (size_t i = 0; i < maps.count; i++)
        fuzz_check(!vma_is_shmem(&maps.items[i], &no_devices) || !maps.items[i].hugetlb);
    maps_free(&maps);
    return 0;
}
