#include "mem/zeros.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

bool window_has_huge(const struct page_window *window)
{
    size_t pages = (size_t)(range_length(window->range) >> PAGE_SHIFT);

    for (size_t i = 0; i < pages; i++)
        if (window->flags[i] & PAGE_HUGE && page_is_resident(window->flags[i]))
            return true;
    return false;
}

bool page_is_all_zero(const uint8_t *page)
{
    /* A block at a time, so that the compiler can use vector registers and a page of data is left
     * early. */
    for (size_t block = 0; block < PAGE_BYTES; block += 256) {
        uint64_t words[32], any = 0;

        memcpy(words, page + block, sizeof words);
        for (size_t i = 0; i < 32; i++)
            any |= words[i];
        if (any)
            return false;
    }
    return true;
}

static bool is_candidate(uint8_t flags)
{
    return flags & PAGE_HUGE && page_is_resident(flags) && !(flags & PAGE_FILE);
}

static int test_pages(struct page_window *window, struct memory *memory, size_t first, size_t count,
                      uint8_t *buffer, struct why *why)
{
    int r = memory_read_pages(memory, window->range.start + first * PAGE_BYTES, count,
                              window->flags + first, buffer, why);

    for (size_t i = 0; r == 0 && i < count; i++)
        if (!(window->flags[first + i] & PAGE_UNREADABLE) &&
            page_is_all_zero(buffer + i * PAGE_BYTES))
            window->flags[first + i] |= PAGE_CONTENT_ZERO;
    return r;
}

int find_zero_pages(struct page_window *window, struct memory *memory, uint8_t *buffer,
                    size_t buffer_pages, struct why *why)
{
    size_t pages = (size_t)(range_length(window->range) >> PAGE_SHIFT);

    for (size_t i = 0; i < pages;) {
        size_t run = 0;
        int r;

        while (i + run < pages && run < buffer_pages && is_candidate(window->flags[i + run]))
            run++;
        if (run == 0) {
            i++;
            continue;
        }
        r = test_pages(window, memory, i, run, buffer, why);
        if (r)
            return r;
        i += run;
    }
    return 0;
}

static bool is_wanted(uint8_t flags, bool small_too)
{
    return page_is_resident(flags) && !(flags & PAGE_FILE) && (small_too || flags & PAGE_HUGE);
}

static int test_image_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                            uint8_t *buffer, struct why *why)
{
    int r = memory_read_pages(memory, start, count, flags, buffer, why);

    for (size_t i = 0; r == 0 && i < count; i++)
        if (!(flags[i] & PAGE_UNREADABLE) && page_is_all_zero(buffer + i * PAGE_BYTES))
            flags[i] |= PAGE_CONTENT_ZERO;
    return r;
}

int find_zero_pages_of_image(struct page_image *image, struct memory *memory, bool small_too,
                             uint64_t limit, struct why *why)
{
    enum { BATCH_PAGES = 64 };
    auto_free uint8_t *buffer = malloc(BATCH_PAGES * PAGE_BYTES);
    int r = buffer ? 0 : -ENOMEM;

    for (size_t w = 0; r == 0 && w < image->count; w++) {
        remote_addr base = image->items[w].index * WINDOW_BYTES;
        uint8_t *flags = image->items[w].flags;

        for (size_t i = 0, run; r == 0 && i < WINDOW_PAGES; i += run ? run : 1) {
            for (run = 0; i + run < WINDOW_PAGES && run < BATCH_PAGES; run++)
                if (!is_wanted(flags[i + run], small_too))
                    break;
            if (run == 0 || run * PAGE_BYTES > limit)
                continue;
            limit -= run * PAGE_BYTES;
            r = test_image_pages(memory, base + i * PAGE_BYTES, run, flags + i, buffer, why);
        }
    }
    return r;
}
