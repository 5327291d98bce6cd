#include "mem/zeros.h"

#include <string.h>

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
