#include "mem/fake.h"

#include <string.h>

/* What a reader of content finds out, and the kernel's tables do not tell. */
#define CONTENT_FLAGS (PAGE_UNREADABLE | PAGE_CONTENT_ZERO)

/* A run of pages that are all in one extent, or in none. */
struct run {
    const struct fake_extent *extent;
    size_t index, pages;
};

static struct run run_at(const struct fake_memory *fake, remote_addr page, size_t most)
{
    struct run run = {.pages = most};

    for (size_t i = 0; i < fake->extent_count; i++) {
        const struct fake_extent *extent = &fake->extents[i];
        uint64_t before = (extent->start - page) / PAGE_BYTES,
                 inside = (page - extent->start) / PAGE_BYTES;

        if (page >= extent->start && inside < extent->pages)
            return (struct run){extent, inside,
                                extent->pages - inside < most ? extent->pages - inside : most};
        if (page < extent->start && before < run.pages)
            run.pages = before;
    }
    return run;
}

static uint8_t true_flags(const struct fake_extent *extent, size_t index)
{
    if (!extent)
        return 0;
    return extent->flags ? extent->flags[index] : PAGE_PRESENT | PAGE_EXCLUSIVE;
}

static int fake_page_flags(struct memory *memory, remote_addr start, size_t count,
                           uint8_t *ret_flags, struct why *why)
{
    struct fake_memory *fake = (struct fake_memory *)memory;

    for (size_t i = 0; i < count;) {
        struct run run = run_at(fake, start + i * PAGE_BYTES, count - i);

        for (size_t k = 0; k < run.pages; k++, i++)
            ret_flags[i] = true_flags(run.extent, run.index + k) & (uint8_t)~CONTENT_FLAGS;
    }
    return 0;
}

static void read_page(struct fake_memory *fake, const struct fake_extent *extent, size_t index,
                      uint8_t *flags, void *buffer)
{
    uint8_t really = true_flags(extent, index);
    bool wanted = (*flags & (PAGE_PRESENT | PAGE_ZERO)) == PAGE_PRESENT;
    bool readable = (really & (PAGE_PRESENT | PAGE_UNREADABLE)) == PAGE_PRESENT;

    if (wanted && !(really & PAGE_PRESENT))
        __atomic_fetch_add(&fake->reads_of_absent, 1, __ATOMIC_RELAXED);
    if (wanted && !readable)
        *flags |= PAGE_UNREADABLE;
    if (wanted && readable && extent->bytes)
        memcpy(buffer, extent->bytes + index * PAGE_BYTES, PAGE_BYTES);
    else
        memset(buffer, 0, PAGE_BYTES);
}

static int fake_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                           void *buffer, struct why *why)
{
    struct fake_memory *fake = (struct fake_memory *)memory;

    for (size_t i = 0; i < count;) {
        struct run run = run_at(fake, start + i * PAGE_BYTES, count - i);

        for (size_t k = 0; k < run.pages; k++, i++)
            read_page(fake, run.extent, run.index + k, &flags[i],
                      (uint8_t *)buffer + i * PAGE_BYTES);
    }
    return 0;
}

void fake_memory_init(struct fake_memory *ret, struct fake_extent *extents, size_t count)
{
    static const struct memory_ops ops = {fake_page_flags, fake_read_pages};

    *ret = (struct fake_memory){.memory.ops = &ops, .extents = extents, .extent_count = count};
}
