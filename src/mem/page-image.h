/*
 * The page states of a whole process at one moment, kept: a byte a page, and nothing for address space without pages.
 * What a stop has to take is only which pages are there; what kind they are is known from before.
 */
#pragma once

#include "mem/memory.h"
#include "mem/window.h"
#include "procfs/maps.h"

struct page_image_window {
    uint64_t index;  /* address / WINDOW_BYTES */
    uint8_t *flags;  /* WINDOW_PAGES */
};

struct page_image {
    struct page_image_window *items; /* ascending by index */
    size_t count, capacity;
};

/* Takes the states of all pages in `maps`, exclusive bits included; some 25 ms a GiB. 0 or negative errno. */
int page_image_take(const struct page_source *source, const struct maps *maps, struct page_image *ret, struct why *why)
    must_check;

/*
 * Takes which pages are there now, by two threads; some 2 ms a GiB. Their kind is taken from `before`; a page of anonymous
 * memory that was not there counts as a small one of this process alone. Swapped pages are not told. 0 or negative
 * errno. Release either with page_image_free.
 */
int page_image_renew(const struct page_source *source, const struct maps *maps, const struct page_image *before,
                     struct page_image *ret, struct why *why) must_check;
void page_image_free(struct page_image *image);

/* Flags of one page; 0 for one in no state. */
uint8_t page_image_at(const struct page_image *image, remote_addr address);
void page_image_flags(const struct page_image *image, remote_addr start, size_t count, uint8_t *ret_flags);

/* Adds flags to a page that the image has in some state. */
void page_image_add(struct page_image *image, remote_addr address, uint8_t flags);

/*
 * The next run of pages of equal flags, `mask`ed, from `*at` on and below `end`; false when there is none. Moves `*at`
 * behind it.
 */
bool page_image_next(const struct page_image *image, remote_addr *at, remote_addr end, uint8_t mask,
                     struct page_run *ret_run);

/* Memory whose page states are the image's, and whose content is read from another, perhaps no longer stopped. */
struct frozen_memory {
    struct memory memory; /* first */
    const struct page_image *image;
    struct memory *content;
};
void frozen_memory_init(struct frozen_memory *ret, const struct page_image *image, struct memory *content);
