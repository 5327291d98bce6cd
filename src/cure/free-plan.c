#include "cure/free-plan.h"

#include <string.h>

#include "base/vector.h"

struct block {
    const struct free_plan_view *view;
    struct free_plan *plan;
    struct cure_outcome *outcome;
    remote_addr address;
    struct block_pages free;
    uint8_t flags[BLOCK_PAGES];
};

void free_pages_of_block(const struct free_chunks *chunks, remote_addr address,
                         struct block_pages *ret)
{
    remote_addr end = address + HUGE_BYTES;

    *ret = (struct block_pages){{false}};
    for (size_t i = free_chunks_above(chunks, address); i < chunks->count; i++) {
        struct range pages = heap_free_chunk_pages(&chunks->items[i]);

        if (chunks->items[i].address >= end)
            return;
        for (remote_addr page = pages.start < address ? address : pages.start;
             page < pages.end && page < end; page += PAGE_BYTES)
            ret->is_in[(page - address) / PAGE_BYTES] = true;
    }
}

/* What stands in the way of giving back this one page. */
static const char *obstacle_to(const struct block *block, size_t index)
{
    remote_addr page = block->address + index * PAGE_BYTES;
    const char *obstacle =
        cure_obstacle_in(block->view->places, (struct range){page, page + PAGE_BYTES});

    if (obstacle)
        return obstacle;
    return block->flags[index] & PAGE_EXCLUSIVE ? NULL : "a fork shares it: nothing would be freed";
}

/* What in the whole block does. */
static const char *obstacle_around(const struct block *block, bool huge)
{
    const struct cure_place *place = cure_place_at(block->view->places, block->address);

    if (!place || !range_holds(place->range, block->address, HUGE_BYTES))
        return "it is at the edge of its mapping, in no whole block of 2 MiB, by which the kernel "
               "takes them";
    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        if (block->flags[i] & (PAGE_SWAPPED | PAGE_FILE))
            return "memory beside it is in swap, guarded or a file's";
        if (page_is_resident(block->flags[i]) && !(block->flags[i] & PAGE_EXCLUSIVE))
            return "a fork shares memory beside it";
    }
    if (huge)
        return NULL;
    if (place->no_huge_pages)
        return "its mapping has no huge pages (MADV_NOHUGEPAGE), by which the kernel takes them";
    return block->view->no_new_huge_pages;
}

static bool is_huge(const uint8_t *flags)
{
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        if (!(flags[i] & PAGE_HUGE) || !page_is_resident(flags[i]))
            return false;
    return true;
}

static void skip_few(const struct block *block, uint64_t bytes)
{
    struct why reason;

    why_set(&reason, 0,
            "less than %u %% of its huge page is free, which is not worth the huge page",
            block->view->split_percent);
    cure_skip(block->outcome, bytes, reason.text);
}

/* Whether a free page is a part of a huge page that stays: then its discard would free nothing. */
static bool has_part_of_huge(const struct block *block, size_t pages)
{
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        if (block->free.is_in[i] && block->flags[i] & PAGE_HUGE &&
            page_is_resident(block->flags[i]))
            return pages < BLOCK_PAGES;
    return false;
}

static int add(struct block *block, struct free_blocks *to, size_t pages)
{
    block->outcome->predicted_rss_bytes += pages * PAGE_BYTES;
    block->outcome->predicted_charge_bytes += pages * PAGE_BYTES;
    return vector_push(to,
                       ((struct free_block){.address = block->address, .pages = (uint16_t)pages}));
}

/* The kernel does not take it as a whole. */
static int decide_singly(struct block *block, size_t pages, const char *obstacle)
{
    struct why reason;

    if (!block->view->no_discard && !has_part_of_huge(block, pages))
        return add(block, &block->plan->singles, pages);
    if (block->view->no_discard)
        why_set(&reason, 0, "%s; and %s", obstacle, block->view->no_discard);
    else
        why_set(&reason, 0, "it is a part of a huge page that stays: %s", obstacle);
    cure_skip(block->outcome, pages * PAGE_BYTES, reason.text);
    return 0;
}

static int decide(struct block *block, size_t pages)
{
    bool huge = is_huge(block->flags);
    const char *obstacle = obstacle_around(block, huge);

    if (pages == 0)
        return 0;
    if (!obstacle)
        obstacle = block->view->no_blocks;
    if (obstacle)
        return decide_singly(block, pages, obstacle);
    if (huge && pages * 100 < BLOCK_PAGES * block->view->split_percent)
        return skip_few(block, pages * PAGE_BYTES), 0;
    return add(block, &block->plan->blocks, pages);
}

static int plan_block(struct block *block, struct why *why)
{
    size_t pages = 0;
    int r = memory_page_flags(block->view->memory, block->address, BLOCK_PAGES, block->flags, why);

    if (r)
        return r;
    free_pages_of_block(block->view->chunks, block->address, &block->free);
    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        const char *obstacle;

        if (!block->free.is_in[i] || !page_is_resident(block->flags[i]))
            continue;
        obstacle = obstacle_to(block, i);
        if (obstacle)
            cure_skip(block->outcome, PAGE_BYTES, obstacle);
        else
            pages++;
    }
    return decide(block, pages);
}

int free_pages_plan(const struct free_plan_view *view, struct free_plan *ret,
                    struct cure_outcome *outcome, struct why *why)
{
    struct block block = {.view = view, .plan = ret, .outcome = outcome};
    remote_addr next = 0; /* blocks below it are done */
    int r = 0;

    for (size_t i = 0; r == 0 && i < view->chunks->count; i++) {
        struct range pages = heap_free_chunk_pages(&view->chunks->items[i]);

        if (pages.start >= pages.end)
            continue;
        block.address = align_down(pages.start, HUGE_BYTES);
        if (block.address < next)
            block.address = next;
        for (; r == 0 && block.address < pages.end; block.address += HUGE_BYTES) {
            r = plan_block(&block, why);
            next = block.address + HUGE_BYTES;
        }
    }
    return r;
}
