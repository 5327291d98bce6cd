#include "mem/page-image.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"

enum { SAMPLES = 64 };

void page_image_free(struct page_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->items[i].flags);
    free(image->items);
    *image = (struct page_image){0};
}

/* Index of the first window at or above `index`. */
static size_t first_window(const struct page_image *image, uint64_t index)
{
    size_t low = 0, high = image->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (image->items[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint8_t *flags_of(const struct page_image *image, remote_addr address)
{
    size_t at = first_window(image, address / WINDOW_BYTES);

    if (at == image->count || image->items[at].index != address / WINDOW_BYTES)
        return NULL;
    return &image->items[at].flags[address % WINDOW_BYTES / PAGE_BYTES];
}

uint8_t page_image_at(const struct page_image *image, remote_addr address)
{
    const uint8_t *flags = flags_of(image, address);

    return flags ? *flags : 0;
}

void page_image_add(struct page_image *image, remote_addr address, uint8_t flags)
{
    uint8_t *at = flags_of(image, address);

    if (at && *at)
        *at |= flags;
}

void page_image_flags(const struct page_image *image, remote_addr start, size_t count,
                      uint8_t *ret_flags)
{
    while (count) {
        size_t part = (size_t)(WINDOW_BYTES - start % WINDOW_BYTES) / PAGE_BYTES;
        const uint8_t *flags = flags_of(image, start);

        if (part > count)
            part = count;
        if (flags)
            memcpy(ret_flags, flags, part);
        else
            memset(ret_flags, 0, part);
        ret_flags += part;
        start += part * PAGE_BYTES;
        count -= part;
    }
}

/* The window that holds `address`, the last one or a new one behind it: pages come in ascending
 * order. */
static int last_window(struct page_image *image, remote_addr address, uint8_t **ret_flags)
{
    uint64_t index = address / WINDOW_BYTES;
    struct page_image_window window = {.index = index};
    int r;

    if (image->count && image->items[image->count - 1].index == index) {
        *ret_flags = image->items[image->count - 1].flags;
        return 0;
    }
    window.flags = calloc(1, WINDOW_PAGES);
    r = window.flags ? vector_push(image, window) : -ENOMEM;
    if (r)
        free(window.flags);
    else
        *ret_flags = window.flags;
    return r;
}

/* What kind a page is, given what it was and that it is there now. */
static uint8_t renewed(uint8_t before, uint8_t now)
{
    if (!(now & PAGE_PRESENT) || now & (PAGE_FILE | PAGE_ZERO))
        return now;
    return page_is_resident(before) && !(before & PAGE_FILE) ? before
                                                             : PAGE_PRESENT | PAGE_EXCLUSIVE;
}

static int add_run(struct page_image *image, const struct page_run *run,
                   const struct page_image *before)
{
    remote_addr at = run->range.start;

    while (at < run->range.end) {
        size_t page = at % WINDOW_BYTES / PAGE_BYTES;
        size_t count = (size_t)((run->range.end - at) / PAGE_BYTES);
        uint8_t *flags;
        int r = last_window(image, at, &flags);

        if (r)
            return r;
        if (count > WINDOW_PAGES - page)
            count = WINDOW_PAGES - page;
        memset(flags + page, run->flags, count);
        if (before) {
            uint8_t old[WINDOW_PAGES];

            page_image_flags(before, at, count, old);
            for (size_t i = 0; i < count; i++)
                flags[page + i] = renewed(old[i], run->flags);
        }
        at += count * PAGE_BYTES;
    }
    return 0;
}

static int take_vma(const struct page_source *source, const struct vma *vma, struct range within,
                    const struct page_image *before, struct page_cursor *cursor,
                    struct page_image *image, struct why *why)
{
    unsigned want =
        before ? vma_is_anonymous(vma) ? PAGES_RESIDENT_ONLY : PAGES_PLAIN : PAGES_WANT_EXCLUSIVE;
    struct range range = {vma->range.start > within.start ? vma->range.start : within.start,
                          vma->range.end < within.end ? vma->range.end : within.end};
    struct page_run run;
    int r;

    if (range.start >= range.end || (vma_is_special(vma) && strcmp(vma->name, "[vdso]") != 0))
        return 0;
    pages_begin(cursor, source, range, want);
    while ((r = pages_next(cursor, &run, why)) > 0) {
        r = add_run(image, &run, before);
        if (r)
            return why_set(why, r, "no memory for the states of all pages");
    }
    return r;
}

struct take {
    const struct page_source *source;
    const struct maps *maps;
    const struct page_image *before;
    struct range within;
    struct page_image image;
    struct why why;
    int result;
};

static void *take(void *context)
{
    struct take *take = context;
    auto_free struct page_cursor *cursor = malloc(sizeof *cursor);

    take->result = cursor ? 0 : -ENOMEM;
    for (size_t i = maps_index_above(take->maps, take->within.start);
         take->result == 0 && i < take->maps->count; i++)
        take->result = take_vma(take->source, &take->maps->items[i], take->within, take->before,
                                cursor, &take->image, &take->why);
    return NULL;
}

int page_image_take(const struct page_source *source, const struct maps *maps,
                    struct page_image *ret, struct why *why)
{
    struct take all = {.source = source, .maps = maps, .within = {0, UINT64_MAX}};

    take(&all);
    if (all.result) {
        if (why)
            *why = all.why;
        page_image_free(&all.image);
        return all.result;
    }
    *ret = all.image;
    return 0;
}

/* The window by which about half of the pages that there were have come. */
static remote_addr middle_of(const struct page_image *before)
{
    return before->count ? before->items[before->count / 2].index * WINDOW_BYTES : UINT64_MAX;
}

/* `from`'s windows behind `to`'s. Empties `from`. */
static int append(struct page_image *to, struct page_image *from)
{
    for (size_t i = 0; i < from->count; i++) {
        int r = vector_push(to, from->items[i]);

        if (r)
            return r;
        from->items[i].flags = NULL;
    }
    return 0;
}

static void forget_exclusive(struct page_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        for (size_t page = 0; page < WINDOW_PAGES; page++)
            image->items[i].flags[page] &= (uint8_t)~PAGE_EXCLUSIVE;
}

/*
 * A fork shares all anonymous pages at once. If it came since the kinds were taken, some of a few
 * dozen pages, spread over all, tell; then none counts as exclusive.
 */
static void check_exclusive(const struct page_source *source, struct page_image *image)
{
    size_t step = image->count / SAMPLES + 1;

    for (size_t i = 0; i < image->count; i += step)
        for (size_t page = 0; page < WINDOW_PAGES; page++) {
            remote_addr address = image->items[i].index * WINDOW_BYTES + page * PAGE_BYTES;

            if (!(image->items[i].flags[page] & PAGE_EXCLUSIVE))
                continue;
            if (pages_still_present(source, address, 1, true) != 1) {
                forget_exclusive(image);
                return;
            }
            break;
        }
}

int page_image_renew(const struct page_source *source, const struct maps *maps,
                     const struct page_image *before, struct page_image *ret, struct why *why)
{
    remote_addr middle = middle_of(before);
    struct take low = {.source = source, .maps = maps, .before = before, .within = {0, middle}};
    struct take high = low;
    pthread_t helper;
    int r;

    high.within = (struct range){middle, UINT64_MAX};
    if (pthread_create(&helper, NULL, take, &high) == 0) {
        take(&low);
        pthread_join(helper, NULL);
    } else {
        take(&low);
        take(&high);
    }
    r = low.result ? low.result : high.result;
    if (r && why)
        *why = low.result ? low.why : high.why;
    if (r == 0)
        r = append(&low.image, &high.image);
    page_image_free(&high.image);
    if (r) {
        page_image_free(&low.image);
        return r;
    }
    check_exclusive(source, &low.image);
    *ret = low.image;
    return 0;
}

bool page_image_next(const struct page_image *image, remote_addr *at, remote_addr end, uint8_t mask,
                     struct page_run *ret_run)
{
    size_t window = first_window(image, *at / WINDOW_BYTES);
    struct page_run run = {.flags = 0};

    for (; window < image->count; window++) {
        remote_addr base = image->items[window].index * WINDOW_BYTES;
        size_t page = *at > base ? (size_t)((*at - base) / PAGE_BYTES) : 0;

        for (; page < WINDOW_PAGES; page++) {
            remote_addr address = base + page * PAGE_BYTES;
            uint8_t flags = image->items[window].flags[page] & mask;

            if (run.flags && (address >= end || address != run.range.end || flags != run.flags)) {
                *ret_run = run;
                *at = run.range.end;
                return true;
            }
            if (address >= end)
                return false;
            if (flags && !run.flags)
                run = (struct page_run){.range.start = address, .flags = flags};
            if (flags)
                run.range.end = address + PAGE_BYTES;
        }
    }
    if (!run.flags)
        return false;
    *ret_run = run;
    *at = run.range.end;
    return true;
}

static int frozen_page_flags(struct memory *memory, remote_addr start, size_t count,
                             uint8_t *ret_flags, struct why *why)
{
    page_image_flags(((struct frozen_memory *)memory)->image, start, count, ret_flags);
    return 0;
}

static int frozen_read_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                             void *buffer, struct why *why)
{
    return memory_read_pages(((struct frozen_memory *)memory)->content, start, count, flags, buffer,
                             why);
}

static int frozen_gather(struct memory *memory, struct memory_piece *pieces, size_t count,
                         struct why *why)
{
    return memory_gather(((struct frozen_memory *)memory)->content, pieces, count, why);
}

void frozen_memory_init(struct frozen_memory *ret, const struct page_image *image,
                        struct memory *content)
{
    static const struct memory_ops ops = {frozen_page_flags, frozen_read_pages, frozen_gather};

    *ret = (struct frozen_memory){.memory.ops = &ops, .image = image, .content = content};
}
