/*
 * Each thread's tcache. libc keeps the pointer in an initial-exec thread-local variable; its offset
 * from the thread pointer is the same for all threads and stands in one of the GOT slots that
 * libc's own relocations name. Which slot is told by what the variable holds: nothing, or the
 * address of a chunk of the right size in some arena. A static program has no such relocations:
 * then every word below the thread pointer is a candidate.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/glibc.h"

enum { TLS_SEARCH_BYTES = 0x1200 };

struct tls_offsets {
    int64_t *items;
    size_t count, capacity;
    struct memory *memory;
};

static int take_slot(void *context, remote_addr slot)
{
    struct tls_offsets *offsets = context;
    uint64_t offset;

    if (memory_read_u64(offsets->memory, slot, &offset, NULL) != 0)
        return 0;
    return vector_push(offsets, (int64_t)offset);
}

static int candidate_offsets(const struct heap_view *view, const struct glibc *glibc,
                             struct tls_offsets *offsets)
{
    int r = 0;

    offsets->memory = view->memory;
    if (glibc->image && glibc->image->elf)
        r = elf_each_tls_slot(glibc->image, take_slot, offsets);
    if (r < 0 || offsets->count)
        return r < 0 ? r : 0;
    for (int64_t offset = 8; r == 0 && offset <= TLS_SEARCH_BYTES; offset += 8)
        r = vector_push(offsets, -offset);
    return r;
}

static uint64_t struct_chunk_bytes(const struct tcache_layout *layout)
{
    return align_up(layout->size + 8, CHUNK_ALIGNMENT);
}

/* Whether `value` can be the address of a tcache struct: user memory of an in-use chunk of its
 * size. */
static bool is_tcache_struct(const struct heap_view *view, const struct glibc *glibc,
                             remote_addr value)
{
    struct heap_region *region = glibc_region_at((struct glibc *)glibc, value - CHUNK_HEADER_BYTES);
    uint64_t size;

    return value % CHUNK_ALIGNMENT == 0 && region && region->kind != REGION_MMAPPED &&
           memory_read_u64(view->memory, value - 8, &size, NULL) == 0 &&
           (size & ~(uint64_t)(CHUNK_PREV_INUSE | CHUNK_NON_MAIN)) ==
               struct_chunk_bytes(glibc->tcache);
}

enum tls_value { TLS_NOTHING, TLS_STRUCT, TLS_MISFIT, TLS_UNKNOWN };

/* What thread `i` has at `offset`. Unknown where it has no thread pointer (an io_uring worker) or
 * its page is not here. */
static enum tls_value value_at(const struct heap_view *view, const struct glibc *glibc, size_t i,
                               int64_t offset, remote_addr *ret_value)
{
    remote_addr pointer = view->threads[i].thread_pointer, value;

    if (!pointer || memory_read_u64(view->memory, pointer + (uint64_t)offset, &value, NULL) != 0)
        return TLS_UNKNOWN;
    if (!value)
        return TLS_NOTHING;
    if (!is_tcache_struct(view, glibc, value))
        return TLS_MISFIT;
    *ret_value = value;
    return TLS_STRUCT;
}

/* Keeps the offsets that thread `i` does not speak against; counts into `uses` how often each held
 * a struct. */
static void keep_fitting(const struct heap_view *view, const struct glibc *glibc,
                         struct tls_offsets *offsets, size_t i, size_t *uses)
{
    size_t kept = 0;

    for (size_t k = 0; k < offsets->count; k++) {
        remote_addr value;
        enum tls_value found = value_at(view, glibc, i, offsets->items[k], &value);

        if (found == TLS_MISFIT)
            continue;
        uses[kept] = uses[k] + (found == TLS_STRUCT);
        offsets->items[kept++] = offsets->items[k];
    }
    offsets->count = kept;
}

/* The one offset that held a struct in some thread and nothing else in any; 0 when no thread has a
 * tcache. */
static int choose_offset(const struct tls_offsets *offsets, const size_t *uses, int64_t *ret_offset,
                         struct why *why)
{
    size_t hits = 0;

    *ret_offset = 0;
    for (size_t k = 0; k < offsets->count; k++)
        if (uses[k]) {
            *ret_offset = offsets->items[k];
            hits++;
        }
    if (hits > 1)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "%zu places look like the threads' tcache pointer", hits);
    if (offsets->count == 0)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "the threads' tcache pointer was not found");
    return 0;
}

int glibc_find_tcaches(const struct heap_view *view, const struct glibc *glibc,
                       remote_addr *ret_structs, size_t *ret_unknown, struct why *why)
{
    size_t unknown = 0;
    struct tls_offsets offsets = {0};
    auto_free size_t *uses = NULL;
    auto_free int64_t *owned = NULL;
    int64_t offset;
    int r = candidate_offsets(view, glibc, &offsets);

    owned = offsets.items;
    uses = calloc(offsets.count + 1, sizeof *uses);
    if (r == 0 && !uses)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < view->thread_count; i++)
        keep_fitting(view, glibc, &offsets, i, uses);
    if (r == 0)
        r = choose_offset(&offsets, uses, &offset, why);
    for (size_t i = 0; r == 0 && i < view->thread_count; i++) {
        enum tls_value found =
            offset ? value_at(view, glibc, i, offset, &ret_structs[i]) : TLS_NOTHING;

        if (found == TLS_MISFIT)
            r = why_set(why, OUTCOME_TORN, "a thread's tcache pointer changed while it was read");
        if (found != TLS_STRUCT)
            ret_structs[i] = 0;
        unknown += found == TLS_UNKNOWN && view->threads[i].thread_pointer;
    }
    if (r == 0)
        *ret_unknown = unknown;
    return r;
}
