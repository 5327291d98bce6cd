/* glibc's malloc as one of the allocators: opening, verifying and closing a heap. */
#include <errno.h>
#include <stdlib.h>

#include "heap/glibc/glibc.h"
#include "heap/glibc/quiet.h"

static void glibc_close(struct heap *heap)
{
    struct glibc *glibc = glibc_of(heap);

    free(heap->arenas.items);
    free(heap->regions.items);
    free(heap->caches.items);
    free(heap->refusals.items);
    free(glibc->details.items);
    free(glibc->marks.items);
    for (size_t i = 0; i < FASTBIN_SETS; i++)
        chunk_set_free(&glibc->fastbins[i]);
    free(glibc);
}

/* "GNU C Library ... stable release version 2.36." stands in libc's read-only data; a static
 * program may lack it. */
static void read_version(struct glibc *glibc)
{
    static const char needle[] = "stable release version ";
    char text[64];

    if (!glibc->image || !glibc->image->elf ||
        elf_find_text(glibc->image, needle, text, sizeof text) != 0)
        return;
    for (size_t i = 0; i + 1 < sizeof glibc->heap.version; i++) {
        char c = text[sizeof needle - 1 + i];

        if ((c < '0' || c > '9') && c != '.')
            break;
        glibc->heap.version[i] = c;
    }
    for (size_t i = strlen(glibc->heap.version); i && glibc->heap.version[i - 1] == '.'; i--)
        glibc->heap.version[i - 1] = '\0';
}

/* Searching libc for its version takes longer than all of a short stop. */
static void remember_version(const struct heap_view *view, struct glibc *glibc)
{
    struct heap_memo *memo = view->memo;

    if (memo && memo->version_of == glibc->main_arena) {
        memcpy(glibc->heap.version, memo->version, sizeof glibc->heap.version);
        return;
    }
    read_version(glibc);
    if (!memo)
        return;
    memcpy(memo->version, glibc->heap.version, sizeof memo->version);
    memo->version_of = glibc->main_arena;
}

static int read_all(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    int r = glibc_find_instances(view, glibc, why);

    if (r == 0)
        r = glibc_read_instances(view, glibc, why);
    if (r == 0)
        r = glibc_find_mmapped(view, glibc, why);
    if (r)
        return r;
    remember_version(view, glibc);
    glibc_check_regions(view, glibc);
    r = view->lists_later ? 0 : glibc_read_lists(view, glibc, why);
    /* Lists may lead into what was refused: then that is the reason, and another moment is no
     * better. */
    if (r > 0 && glibc->heap.refusals.count)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "%s: %s", glibc->heap.refusals.items[0].what,
                       glibc->heap.refusals.items[0].reason.text);
    return r;
}

static int glibc_open(const struct heap_view *view, struct heap **ret_heap, struct why *why)
{
    struct glibc *glibc = calloc(1, sizeof *glibc);
    int r;

    if (!glibc)
        return -ENOMEM;
    glibc->heap.allocator = &glibc_allocator;
    r = read_all(view, glibc, why);
    if (r) {
        glibc_close(&glibc->heap);
        return r;
    }
    *ret_heap = &glibc->heap;
    return 0;
}

static int glibc_settled(const struct heap_view *view, const struct heap *heap, struct why *why)
{
    return glibc_is_quiet(view, glibc_of_const(heap), why);
}

const struct allocator glibc_allocator = {
    .name = "glibc",
    .open = glibc_open,
    .settled = glibc_settled,
    .walk = glibc_walk,
    .close = glibc_close,
    .survey = glibc_survey,
    .capture = glibc_capture,
    .resolve = glibc_resolve,
    .sweep = glibc_sweep,
    .unsure_bytes = glibc_unsure_bytes,
    .survey_free = glibc_survey_free,
    .free_chunks = glibc_free_chunks,
};
