#include "mem/fake.h"

#include <string.h>

/* What a reader of content finds out, and the kernel's tables do not tell. */
#define CONTENT_FLAGS (PAGE_UNREADABLE | PAGE_CONTENT_ZERO)

static const struct fake_extent *find(const struct fake_memory *fake, remote_addr page,
                                      size_t *ret_index)
{
    for (size_t i = 0; i < fake->extent_count; i++) {
        const struct fake_extent *extent = &fake->extents[i];

        if (page < extent->start || (page - extent->start) / PAGE_BYTES >= extent->pages)
            continue;
        *ret_index = (page - extent->start) / PAGE_BYTES;
        return extent;
    }
    return NULL;
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

    for (size_t i = 0; i < count; i++) {
        size_t index = 0;
        const struct fake_extent *extent = find(fake, start + i * PAGE_BYTES, &index);

        ret_flags[i] = true_flags(extent, index) & (uint8_t)~CONTENT_FLAGS;
    }
    return 0;
}

static void read_page(struct fake_memory *fake, remote_addr page, uint8_t *flags, void *buffer)
{
    size_t index = 0;
    const struct fake_extent *extent = find(fake, page, &index);
    uint8_t really = true_flags(extent, index);

    memset(buffer, 0, PAGE_BYTES);
    if ((*flags & (PAGE_PRESENT | PAGE_ZERO)) != PAGE_PRESENT)
        return;
    if (!(really & PAGE_PRESENT)) {
        __atomic_fetch_add(&fake->reads_of_absent, 1, __ATOMIC_RELAXED);
        *flags |= PAGE_UNREADABLE;
    } else if (really & PAGE_UNREADABLE) {
        *flags |= PAGE_UNREADABLE;
    } else if (extent->bytes) {
        memcpy(buffer, extent->bytes + index * PAGE_BYTES, PAGE_BYTES);
    }
}

static int fake_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                           void *buffer, struct why *why)
{
    for (size_t i = 0; i < count; i++)
        read_page((struct fake_memory *)memory, start + i * PAGE_BYTES, &flags[i],
                  (uint8_t *)buffer + i * PAGE_BYTES);
    return 0;
}

void fake_memory_init(struct fake_memory *ret, struct fake_extent *extents, size_t count)
{
    static const struct memory_ops ops = {fake_page_flags, fake_read_pages};

    *ret = (struct fake_memory){.memory.ops = &ops, .extents = extents, .extent_count = count};
}
