/*
 * The main arena by its shape: 127 pairs of list ends in a row, each empty (both point at
 * themselves) or a pair of chunk addresses, the last one always empty; and a ring of arenas that
 * closes over it. It lies in the .data of the libc, or of a static program. The shape needs no
 * symbols and was never met elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/glibc.h"

enum {
    STEP_PAGES = 64, /* .data is read in steps that overlap by a page, more than any malloc_state */
    ARENA_LIMIT = 1 << 16, /* on any ring: 8 arenas a CPU on the largest machine */
    CANDIDATE_LIMIT = INSTANCES_MOST,
    RING_TRIES = 64, /* shapes whose ring is followed */
};

/* No program's data segment is larger; a file that somebody mapped to write to may well be. */
#define DATA_LIMIT_BYTES (UINT64_C(1) << 28)

struct candidate {
    remote_addr address;
    const struct state_layout *state;
    uint64_t system_mem;
};

struct search {
    const struct heap_view *view;
    struct candidate found[CANDIDATE_LIMIT];
    size_t count, tries;
};

static bool pair_fits(const uint8_t *bytes, remote_addr base, const struct state_layout *state,
                      unsigned bin)
{
    remote_addr header = bin_header(state, base, bin);
    uint64_t fd = field_u64(bytes, state->bins + 16 * (size_t)(bin - 1));
    uint64_t bk = field_u64(bytes, state->bins + 16 * (size_t)(bin - 1) + 8);

    if (fd == header || bk == header)
        return fd == bk;
    return fd && bk && fd % CHUNK_ALIGNMENT == 0 && bk % CHUNK_ALIGNMENT == 0;
}

static bool bins_fit(const uint8_t *bytes, remote_addr base, const struct state_layout *state)
{
    remote_addr last = bin_header(state, base, BIN_COUNT);

    if (field_u64(bytes, state->bins + 16 * (BIN_COUNT - 1)) != last ||
        field_u64(bytes, state->bins + 16 * (BIN_COUNT - 1) + 8) != last)
        return false;
    for (unsigned bin = BIN_COUNT - 1; bin >= 1; bin--)
        if (!pair_fits(bytes, base, state, bin))
            return false;
    return true;
}

static bool ring_closes(const struct heap_view *view, remote_addr base,
                        const struct state_layout *state)
{
    remote_addr arena = base;

    for (unsigned i = 0; i < ARENA_LIMIT; i++) {
        if (memory_read_u64(view->memory, arena + state->next, &arena, NULL) != 0)
            return false;
        if (arena == base)
            return true;
    }
    return false;
}

static void consider(struct search *search, const uint8_t *bytes, size_t room, remote_addr base)
{
    for (size_t i = 0; i < state_layout_count; i++) {
        const struct state_layout *state = &state_layouts[i];

        if (search->count == CANDIDATE_LIMIT || state->size > room ||
            !bins_fit(bytes, base, state) || search->tries >= RING_TRIES)
            continue;
        search->tries++;
        if (!ring_closes(search->view, base, state))
            continue;
        search->found[search->count++] = (struct candidate){
            .address = base, .state = state, .system_mem = field_u64(bytes, state->system_mem)};
    }
}

static int search_step(struct search *search, remote_addr start, size_t pages, uint8_t *buffer,
                       struct why *why)
{
    uint8_t flags[STEP_PAGES];
    size_t bytes = pages * PAGE_BYTES;
    int r = memory_page_flags(search->view->memory, start, pages, flags, why);

    if (r == 0)
        r = memory_read_pages(search->view->memory, start, pages, flags, buffer, why);
    if (r)
        return r;
    for (size_t offset = 0; offset < bytes; offset += CHUNK_ALIGNMENT)
        consider(search, buffer + offset, bytes - offset, start + offset);
    return 0;
}

static int search_range(struct search *search, struct range range, uint8_t *buffer, struct why *why)
{
    for (remote_addr start = range.start; start < range.end;
         start += (STEP_PAGES - 1) * PAGE_BYTES) {
        size_t pages = (size_t)((range.end - start) >> PAGE_SHIFT);
        int r = search_step(search, start, pages < STEP_PAGES ? pages : STEP_PAGES, buffer, why);

        if (r)
            return r;
        if (pages <= STEP_PAGES)
            break;
    }
    return 0;
}

/* Steps overlap, so the same place may be found twice. */
static void drop_repeats(struct search *search)
{
    size_t kept = 0;

    for (size_t i = 0; i < search->count; i++)
        if (kept == 0 || search->found[i].address != search->found[kept - 1].address)
            search->found[kept++] = search->found[i];
    search->count = kept;
}

static int by_memory(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    return (x->system_mem < y->system_mem) - (x->system_mem > y->system_mem);
}

/* Several are legitimate: every dlmopen namespace has a libc, libc_malloc_debug.so an arena of its
 * own. One that never got memory serves nobody. */
static int keep_used(struct search *search, struct glibc *glibc, struct why *why)
{
    if (search->count)
        qsort(search->found, search->count, sizeof *search->found, by_memory);
    for (size_t i = 0; i < search->count && search->found[i].system_mem; i++) {
        const struct candidate *found = &search->found[i];

        glibc->instances[glibc->instance_count++] = (struct glibc_instance){
            .state = found->state,
            .main_arena = found->address,
            .system_bytes = found->system_mem,
            .image = search->view->images ? elf_images_find(search->view->images, found->address)
                                          : NULL};
    }
    if (glibc->instance_count)
        return 0;
    return why_set(why, OUTCOME_NOT_FOUND,
                   search->count ? "glibc's malloc is loaded and has never got memory"
                                 : "no glibc main arena was found in any writable data segment");
}

/* A writable segment of an image. Without images (a fake process), any writable file mapping. */
static bool may_hold_arena(const struct heap_view *view, const struct vma *vma)
{
    if (!vma->writable || vma->shared || vma_is_anonymous(vma) || vma_is_special(vma) ||
        range_length(vma->range) > DATA_LIMIT_BYTES)
        return false;
    return !view->images || view->images->count == 0 ||
           elf_images_find(view->images, vma->range.start);
}

int glibc_find_instances(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct search search = {.view = view};
    auto_free uint8_t *buffer = malloc(STEP_PAGES * PAGE_BYTES);

    if (!buffer)
        return -ENOMEM;
    for (size_t i = 0; i < view->maps->count; i++) {
        const struct vma *vma = &view->maps->items[i];
        int r;

        if (!may_hold_arena(view, vma))
            continue;
        r = search_range(&search, vma->range, buffer, why);
        if (r)
            return r;
    }
    drop_repeats(&search);
    return keep_used(&search, glibc, why);
}
