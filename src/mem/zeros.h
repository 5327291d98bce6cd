/* Which pages of a window that are mapped by huge pages hold nothing but zeros. */
#pragma once

#include "mem/page-image.h"
#include "mem/window.h"

/* Whether any present page of the window is mapped by a huge page. */
bool window_has_huge(const struct page_window *window);

/*
 * Reads the huge-mapped pages of the window, `buffer_pages` at a time into `buffer`, and sets PAGE_CONTENT_ZERO on
 * those whose every byte is zero. Content is read in huge-mapped pages only: reading marks a page as referenced, and
 * khugepaged heeds that. 0 or negative errno.
 */
int find_zero_pages(struct page_window *window, struct memory *memory, uint8_t *buffer, size_t buffer_pages,
                    struct why *why) must_check;

/* Whether all of a page's bytes are zero. */
bool page_is_all_zero(const uint8_t *page);

/*
 * The same for anonymous pages of a whole image, small ones too if asked for; at most `limit` bytes are read. 0 or negative
 * errno.
 */
int find_zero_pages_of_image(struct page_image *image, struct memory *memory, bool small_too, uint64_t limit,
                             struct why *why) must_check;
