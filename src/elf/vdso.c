/*
 * The vDSO's file exists in memory only. Pages of it that the process never used are not present,
 * and are not touched: when what is present is byte for byte our own vDSO, its first page (with the
 * build-id) included, the rest is taken from ours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/cleanup.h"
#include "elf/file.h"

enum { VDSO_PAGES_MAX = 16 };

static bool is_present(uint8_t flags)
{
    return (flags & (PAGE_PRESENT | PAGE_UNREADABLE)) == PAGE_PRESENT;
}

/* Our own vDSO, if it has at least `size` bytes. Its program headers lie in its first page. */
static const char *own_vdso(size_t size)
{
    const char *start =
        (const char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR); /* NOLINT: the kernel's own word */
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    if (!start)
        return NULL;
    memcpy(&header, start, sizeof header);
    for (size_t i = 0; i < header.e_phnum; i++) {
        memcpy(&segment, start + header.e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type == PT_LOAD)
            return align_up(segment.p_memsz, PAGE_BYTES) >= size ? start : NULL;
    }
    return NULL;
}

static bool fill_from_ours(uint8_t *copy, const uint8_t *flags, size_t pages)
{
    const char *ours = own_vdso(pages * PAGE_BYTES);

    if (!ours || !is_present(flags[0]))
        return false;
    for (size_t i = 0; i < pages; i++)
        if (is_present(flags[i]) &&
            memcmp(copy + i * PAGE_BYTES, ours + i * PAGE_BYTES, PAGE_BYTES) != 0)
            return false;
    for (size_t i = 0; i < pages; i++)
        if (!is_present(flags[i]))
            memcpy(copy + i * PAGE_BYTES, ours + i * PAGE_BYTES, PAGE_BYTES);
    return true;
}

/* Copies the vDSO whole, or says why not. */
static int copy_vdso(struct memory *memory, struct range range, uint8_t *copy, struct why *why)
{
    uint8_t flags[VDSO_PAGES_MAX] = {0};
    size_t pages = range_length(range) / PAGE_BYTES, present = 0;
    int r = memory_page_flags(memory, range.start, pages, flags, why);

    if (r == 0)
        r = memory_read_pages(memory, range.start, pages, flags, copy, why);
    if (r != 0)
        return r;
    for (size_t i = 0; i < pages; i++)
        present += is_present(flags[i]);
    if (present < pages && !fill_from_ours(copy, flags, pages))
        return why_set(why, OUTCOME_UNREADABLE, "%zu of its %zu pages are not in memory",
                       pages - present, pages);
    return 0;
}

int elf_open_vdso(struct elf_image *image, struct memory *memory, struct range range,
                  struct why *why)
{
    uint64_t size = range_length(range);

    if (!memory)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "it exists in the process' memory only, which was not given");
    if (size > VDSO_PAGES_MAX * PAGE_BYTES)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "it is larger than any known vDSO");
    uint8_t *copy = malloc(size);
    if (!copy)
        return why_set(why, -ENOMEM, "out of memory");
    int r = copy_vdso(memory, range, copy, why);
    if (r != 0) {
        free(copy);
        return r;
    }
    r = elf_image_attach_copy(image, copy, size, why);
    if (r == 0)
        elf_image_place(image, range.start - image->segments[0].memory.start);
    return r;
}
