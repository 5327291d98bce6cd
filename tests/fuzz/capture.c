/*
 * Writes a process as tests/fuzz/process.h describes it: its mappings, threads and present writable
 * pages.
 *
 * usage: fuzz-capture PID > tests/fuzz/processes/NAME
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs/maps.h"
#include "target/target.h"

/* The kernel's own, and what never holds a heap's structures: its contents would only be ballast.
 */
static bool has_no_interest(const struct vma *vma)
{
    return !vma->readable || !vma->writable || vma->shared || vma_is_special(vma) ||
           strcmp(vma->name, "[stack]") == 0;
}

/* Names that could be a place of this machine say no more than that there is a file. */
static void write_map(const struct vma *vma)
{
    const char *slash = strrchr(vma->name, '/');

    printf("map %08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " %s%s\n",
           vma->range.start, vma->range.end, vma->readable ? 'r' : '-', vma->writable ? 'w' : '-',
           vma->executable ? 'x' : '-', vma->shared ? 's' : 'p', vma->offset, vma->inode ? 8u : 0u,
           vma->inode ? 1u : 0u, vma->inode, slash ? "/lib" : "", slash ? slash : vma->name);
}

static void write_words(const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i] == 0)
            continue;
        printf("@%zx", i * sizeof *words);
        for (; i < count && words[i]; i++)
            printf(" %" PRIx64, words[i]);
        putchar('\n');
    }
}

static int write_page(struct memory *memory, remote_addr page, struct why *why)
{
    uint64_t words[PAGE_BYTES / sizeof(uint64_t)];
    uint8_t flags;
    int r = memory_page_flags(memory, page, 1, &flags, why);

    if (r == 0)
        r = memory_read_pages(memory, page, 1, &flags, words, why);
    if (r || !(flags & PAGE_PRESENT))
        return r;
    printf("page %" PRIx64 " %x\n", page, flags);
    write_words(words, sizeof words / sizeof *words);
    return 0;
}

static int write_process(struct target *target, const struct maps *maps, struct why *why)
{
    int r = 0;

    for (size_t i = 0; i < maps->count; i++)
        write_map(&maps->items[i]);
    for (size_t i = 0; i < target->thread_count; i++)
        printf("thread %d %" PRIx64 "\n", (int)target->threads[i].tid,
               (uint64_t)target->threads[i].registers.fs_base);
    for (size_t i = 0; r == 0 && i < maps->count; i++)
        for (remote_addr page = maps->items[i].range.start;
             r == 0 && !has_no_interest(&maps->items[i]) && page < maps->items[i].range.end;
             page += PAGE_BYTES)
            r = write_page(&target->memory.memory, page, why);
    return r;
}

int main(int argc, char **argv)
{
    struct procfs procfs;
    struct target target;
    struct maps maps;
    struct why why = {"usage: fuzz-capture PID"};
    int r = argc == 2 ? procfs_open(&procfs, "/", &why) : -1;

    if (r == 0)
        r = target_open(&target, &procfs, atoi(argv[1]), &why);
    if (r == 0) {
        r = target_stop(&target, &why);
        if (r == 0)
            r = maps_read(&procfs, target.pid, &maps, &why);
        if (r == 0)
            r = write_process(&target, &maps, &why);
        target_close(&target);
    }
    if (r)
        fprintf(stderr, "%s\n", why.text);
    return r != 0;
}
