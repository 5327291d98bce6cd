/*
 * The mapping pass: every resident page outside the decoders' regions, by what kind of mapping and
 * page it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/gaps.h"
#include "base/vector.h"
#include "ledger/ledger.h"
#include "mem/zeros.h"

enum {
    RED_ZONE_BYTES = 128,
    BATCH_PAGES = 64
}; /* x86-64 psABI: below the stack pointer and in use */

struct pass {
    const struct ledger_view *view;
    struct ledger *ledger;
    struct unexplained_pieces *pieces;
    struct page_cursor *cursor;
    const struct vma *vma;
    bool file_is_shmem;
    remote_addr bss_end; /* of an anonymous mapping: below it is .bss */
    uint8_t *buffer;     /* BATCH_PAGES pages, for content */
    uint64_t read_bytes; /* content of huge pages so far */
};

static void add(struct pass *pass, enum account account, uint64_t bytes)
{
    pass->ledger->bytes[account] += bytes;
}

/* Bytes of `range` below `limit`. */
static uint64_t bytes_below(struct range range, remote_addr limit)
{
    if (limit <= range.start)
        return 0;
    return limit >= range.end ? range_length(range) : limit - range.start;
}

/* The first stack that ends above `address`, or NULL. */
static const struct thread_stack *stack_above(const struct thread_stacks *stacks,
                                              remote_addr address)
{
    size_t low = 0, high = stacks ? stacks->count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (stacks->items[middle].range.end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return stacks && low < stacks->count ? &stacks->items[low] : NULL;
}

/* Whole pages below the stack pointer, and which of them no fork shares. A stack that the program
 * gave to a thread may begin anywhere. */
static int count_stale_pages(struct pass *pass, struct range pages, struct why *why)
{
    uint8_t flags[BATCH_PAGES];

    pages.start = align_up(pages.start, PAGE_BYTES);
    pages.end = align_down(pages.end, PAGE_BYTES);
    while (pass->view->memory && pages.start < pages.end) {
        size_t count = (size_t)(range_length(pages) >> PAGE_SHIFT);
        int r;

        if (count > BATCH_PAGES)
            count = BATCH_PAGES;
        r = memory_page_flags(pass->view->memory, pages.start, count, flags, why);
        if (r)
            return r;
        for (size_t i = 0; i < count; i++)
            if (flags[i] & PAGE_EXCLUSIVE)
                pass->pieces->stale_exclusive_bytes += PAGE_BYTES;
        pass->pieces->stale_page_bytes += count * PAGE_BYTES;
        pages.start += count * PAGE_BYTES;
    }
    return 0;
}

static int add_stack(struct pass *pass, const struct thread_stack *stack, struct range resident,
                     struct why *why)
{
    remote_addr in_use_from = stack->ended       ? stack->sp
                              : stack->sp_inside ? stack->sp - RED_ZONE_BYTES
                                                 : stack->range.start;
    uint64_t stale = bytes_below(resident, in_use_from);

    add(pass, ACCOUNT_STACK_STALE, stale);
    add(pass, ACCOUNT_STACK_USED, range_length(resident) - stale);
    pass->pieces->ended_stack_bytes += stack->ended ? stale : 0;
    return count_stale_pages(pass, (struct range){resident.start, resident.start + stale}, why);
}

static int add_unexplained(struct pass *pass, struct range where, uint64_t bytes)
{
    struct unexplained_pieces *pieces = pass->pieces;

    add(pass, ACCOUNT_UNEXPLAINED, bytes);
    if (pieces->count && pieces->items[pieces->count - 1].range.end == where.start &&
        where.start > pass->vma->range.start) {
        pieces->items[pieces->count - 1].range.end = where.end;
        pieces->items[pieces->count - 1].resident_bytes += bytes;
        return 0;
    }
    return vector_push(pieces,
                       ((struct unexplained_piece){.range = where, .resident_bytes = bytes}));
}

/* How many of these pages hold nothing but zeros. */
static int count_zero_pages(struct pass *pass, struct range pages, uint8_t flags,
                            uint64_t *ret_bytes, struct why *why)
{
    uint8_t each[BATCH_PAGES];
    uint64_t zero = 0;

    while (pages.start < pages.end) {
        size_t count = (size_t)(range_length(pages) >> PAGE_SHIFT);
        int r;

        if (count > BATCH_PAGES)
            count = BATCH_PAGES;
        memset(each, flags, count);
        r = memory_read_pages(pass->view->memory, pages.start, count, each, pass->buffer, why);
        if (r)
            return r;
        for (size_t i = 0; i < count; i++)
            zero += !(each[i] & PAGE_UNREADABLE) && page_is_all_zero(pass->buffer + i * PAGE_BYTES);
        pages.start += count * PAGE_BYTES;
    }
    *ret_bytes = zero * PAGE_BYTES;
    return 0;
}

/* Whether content is to be read: in huge pages up to the limit, in small ones when asked for. */
static bool reads_content(struct pass *pass, struct range pages, bool huge)
{
    if (!pass->view->memory || pages.start % PAGE_BYTES || pages.end % PAGE_BYTES)
        return false;
    if (!huge)
        return pass->view->scan_small;
    if (range_length(pages) > pass->view->content_limit - pass->read_bytes) {
        pass->pieces->unread_bytes += range_length(pages);
        return false;
    }
    pass->read_bytes += range_length(pages);
    return true;
}

/* Private anonymous pages that nobody claims: what of them is all zero, and the rest. */
static int add_unclaimed(struct pass *pass, struct range pages, uint8_t flags, struct why *why)
{
    bool huge = flags & PAGE_HUGE;
    uint64_t zero = flags & PAGE_CONTENT_ZERO ? range_length(pages) : 0;
    int r = 0;

    if (!pass->view->image && reads_content(pass, pages, huge))
        r = count_zero_pages(pass, pages, flags, &zero, why);
    if (r)
        return r;
    add(pass, huge ? ACCOUNT_ZERO_HUGE : ACCOUNT_ZERO_SMALL, zero);
    return add_unexplained(pass, pages, range_length(pages) - zero);
}

static remote_addr lower(remote_addr a, remote_addr b)
{
    return a < b ? a : b;
}

/* Resident anonymous pages of a private anonymous mapping. */
static int add_anonymous(struct pass *pass, struct range pages, uint8_t flags, struct why *why)
{
    while (pages.start < pages.end) {
        const struct thread_stack *stack = stack_above(pass->view->stacks, pages.start);
        struct range part = pages;
        int r = 0;

        if (part.start < pass->bss_end) {
            part.end = lower(part.end, pass->bss_end);
            add(pass, ACCOUNT_DATA, range_length(part));
        } else if (stack && stack->range.start <= part.start) {
            part.end = lower(part.end, stack->range.end);
            r = add_stack(pass, stack, part, why);
        } else {
            part.end = stack ? lower(part.end, stack->range.start) : part.end;
            r = add_unclaimed(pass, part, flags, why);
        }
        if (r)
            return r;
        pages.start = part.end;
    }
    return 0;
}

static int add_run(struct pass *pass, const struct page_run *run, struct why *why)
{
    const struct vma *vma = pass->vma;

    if (!page_is_resident(run->flags) || vma->hugetlb || vma->pfn_mapped)
        return 0;
    if (run->flags & PAGE_FILE) {
        bool shmem = pass->file_is_shmem || (vma->inode == 0 && !vma_is_special(vma));

        add(pass, shmem ? ACCOUNT_SHARED : ACCOUNT_CODE, range_length(run->range));
        return 0;
    }
    if (vma->inode != 0) {
        add(pass, ACCOUNT_DATA, range_length(run->range));
        return 0;
    }
    return add_anonymous(pass, run->range, run->flags, why);
}

/* A region need not begin or end with a page. */
static int add_clipped(struct pass *pass, struct page_run run, struct range gap, struct why *why)
{
    if (run.range.start < gap.start)
        run.range.start = gap.start;
    run.range.end = lower(run.range.end, gap.end);
    return add_run(pass, &run, why);
}

static int add_gap_of_image(struct pass *pass, struct range gap, struct why *why)
{
    remote_addr at = align_down(gap.start, PAGE_BYTES);
    struct page_run run;
    int r = 0;

    while (r == 0 && page_image_next(pass->view->image, &at, gap.end,
                                     (uint8_t) ~(PAGE_EXCLUSIVE | PAGE_UNREADABLE), &run))
        r = add_clipped(pass, run, gap, why);
    return r;
}

static int add_gap(struct pass *pass, struct range gap, struct why *why)
{
    struct range pages = {align_down(gap.start, PAGE_BYTES), align_up(gap.end, PAGE_BYTES)};
    struct page_run run;
    int r;

    if (pass->view->image)
        return add_gap_of_image(pass, gap, why);
    pages_begin(pass->cursor, pass->view->pages, pages, PAGES_PLAIN);
    while ((r = pages_next(pass->cursor, &run, why)) > 0) {
        r = add_clipped(pass, run, gap, why);
        if (r)
            return r;
    }
    return r;
}

/*
 * Where the .bss of the image whose data segment ends at or below `vma` ends, or 0: anonymous
 * memory behind it that merged into the same mapping is not .bss.
 */
static remote_addr bss_end_in(const struct elf_images *images, const struct vma *vma)
{
    for (size_t i = 0; images && i < images->count; i++)
        for (size_t k = 0; k < images->items[i].segment_count; k++) {
            const struct elf_segment *segment = &images->items[i].segments[k];
            struct range memory = {segment->memory.start,
                                   align_up(segment->memory.end, PAGE_BYTES)};

            if (segment->writable && memory.start < vma->range.start &&
                memory.end > vma->range.start)
                return memory.end;
        }
    return 0;
}

static int add_vma(struct pass *pass, const struct vma *vma, struct why *why)
{
    struct gap_cursor gaps;
    struct range gap;
    int r = 0;

    /* Of the kernel's own mappings only the vDSO has pages that count. */
    if (vma_is_special(vma) && strcmp(vma->name, "[vdso]") != 0)
        return 0;
    pass->vma = vma;
    pass->file_is_shmem = vma_is_shmem(vma, pass->view->shmem);
    pass->bss_end = vma->inode ? 0 : bss_end_in(pass->view->images, vma);
    gaps =
        gaps_of(vma->range, pass->view->regions ? pass->view->regions->items : NULL,
                pass->view->regions ? pass->view->regions->count : 0, sizeof(struct heap_region));
    while (r == 0 && gap_next(&gaps, &gap))
        r = add_gap(pass, gap, why);
    return r;
}

int ledger_add_mappings(const struct ledger_view *view, struct ledger *ledger,
                        struct unexplained_pieces *pieces, struct why *why)
{
    auto_free struct page_cursor *cursor = malloc(sizeof *cursor);
    auto_free uint8_t *buffer = malloc(BATCH_PAGES * PAGE_BYTES);
    struct pass pass = {
        .view = view, .ledger = ledger, .pieces = pieces, .cursor = cursor, .buffer = buffer};
    int r = cursor && buffer ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < view->maps->count; i++)
        r = add_vma(&pass, &view->maps->items[i], why);
    return r;
}
