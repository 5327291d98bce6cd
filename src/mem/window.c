#include "mem/window.h"

int window_load(struct page_window *window, struct memory *memory, struct range range,
                struct why *why)
{
    size_t count;
    int r;

    if (range.end < range.start)
        range.end = range.start;
    if (range_length(range) > WINDOW_BYTES)
        range.end = range.start + WINDOW_BYTES;
    count = range_length(range) / PAGE_BYTES;
    r = memory_page_flags(memory, range.start, count, window->flags, why);
    if (r)
        return r;
    window->range = range;
    window->resident[0] = 0;
    for (size_t i = 0; i < count; i++)
        window->resident[i + 1] =
            (uint16_t)(window->resident[i] + page_is_resident(window->flags[i]));
    return 0;
}

uint64_t window_resident_bytes(const struct page_window *window, struct range part)
{
    uint64_t from, to, bytes;
    size_t first, last;

    if (part.end <= part.start)
        return 0;
    from = part.start - window->range.start;
    to = part.end - window->range.start;
    first = from >> PAGE_SHIFT;
    last = (to - 1) >> PAGE_SHIFT;
    bytes = (uint64_t)(window->resident[last + 1] - window->resident[first]) * PAGE_BYTES;
    /* Take back what the first and the last page hold outside the part. */
    if (page_is_resident(window->flags[first]))
        bytes -= from % PAGE_BYTES;
    if (page_is_resident(window->flags[last]))
        bytes -= align_up(to, PAGE_BYTES) - to;
    return bytes;
}
