/*
 * Free chunks that keep their "in use" bit: what lies in tcaches and fastbins. The lists are
 * followed, never trusted: every entry must lie in a known region, and no list may be longer than
 * it can be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/glibc.h"
#include "mem/cache.h"

enum { TCACHE_STRUCT_MOST = 760, LARGE_BIN_SHIFT = 10, LEARN_STEPS = 64 };

struct list_reader {
    const struct heap_view *view;
    struct glibc *glibc;
    struct memory_cache cache;
    struct heap_region *region; /* the one that the last link led into */
    uint64_t link_offset;       /* from where a link leads to where the next one is */
};

static bool is_link(struct list_reader *reader, uint64_t value)
{
    struct heap_region *region;

    if (value == 0)
        return true;
    if (value % CHUNK_ALIGNMENT)
        return false;
    if (reader->region && range_has(reader->region->range, value))
        return true;
    region = glibc_region_at(reader->glibc, value);
    if (region)
        reader->region = region;
    return region;
}

static int read_word(struct list_reader *reader, remote_addr field, uint64_t *ret, struct why *why)
{
    if (memory_cache_peek(&reader->cache, field, ret))
        return 0;
    return memory_cache_read(&reader->cache, field, ret, sizeof *ret, why);
}

/* Whether the list whose next link is at `field` goes on well if links are mangled, or are not. */
static bool goes_on(struct list_reader *reader, remote_addr field, bool mangled)
{
    for (unsigned i = 0; i < LEARN_STEPS; i++) {
        uint64_t stored;
        remote_addr link;

        if (read_word(reader, field, &stored, NULL) != 0)
            return false;
        link = mangled ? stored ^ (field >> 12) : stored;
        if (!is_link(reader, link))
            return false;
        if (link == 0)
            return true;
        field = link + reader->link_offset;
    }
    return true;
}

/*
 * Safe-linking stores a link xor its own address >> 12. Which form it is shows at the first link
 * ever met, or, in a heap at low addresses, where either may lead into the heap, soon after it.
 */
static void learn_links(struct list_reader *reader, remote_addr field)
{
    bool plain_fits = goes_on(reader, field, false), mangled_fits = goes_on(reader, field, true);

    if (!plain_fits && !mangled_fits)
        return;
    reader->glibc->links_mangled =
        mangled_fits; /* a chain of words that hold so much is no chance */
    reader->glibc->links_known = true;
}

static int decode_link(struct list_reader *reader, remote_addr field, uint64_t stored,
                       remote_addr *ret_link, struct why *why)
{
    const struct glibc *glibc = reader->glibc;
    remote_addr link;

    if (!glibc->links_known)
        learn_links(reader, field);
    link = glibc->links_mangled ? stored ^ (field >> 12) : stored;
    if (!glibc->links_known || !is_link(reader, link))
        return why_set(why, OUTCOME_TORN, "a free list's link at 0x%" PRIx64 " leads nowhere",
                       field);
    *ret_link = link;
    return 0;
}

/* The link in the list node whose link field is at `field`. */
static int read_link(struct list_reader *reader, remote_addr field, remote_addr *ret_link,
                     struct why *why)
{
    uint64_t stored;
    int r = read_word(reader, field, &stored, why);

    if (r)
        return r == OUTCOME_UNREADABLE ? why_prefix(why, OUTCOME_TORN, "a free list") : r;
    return decode_link(reader, field, stored, ret_link, why);
}

/*
 * The size of the chunk that `entry` is the user memory of. Small bins hold one size each; those
 * behind them the sizes up to a power of two (from 1 KiB on), ascending (large_csize2tidx,
 * tcache_location_large).
 */
static int entry_bytes(struct list_reader *reader, unsigned bin, remote_addr entry, uint64_t *bytes,
                       struct why *why)
{
    uint64_t least = *bytes, size;
    int r;

    if (bin < TCACHE_SMALL_BINS) {
        *bytes = CHUNK_MIN_BYTES + 16 * (uint64_t)bin;
        return 0;
    }
    r = memory_cache_read(&reader->cache, entry - 8, &size, sizeof size, why);
    if (r)
        return r == OUTCOME_UNREADABLE ? why_prefix(why, OUTCOME_TORN, "a tcache list") : r;
    size &= ~(uint64_t)CHUNK_FLAGS;
    if (size < least || size >> (bin - TCACHE_SMALL_BINS) >> LARGE_BIN_SHIFT != 1)
        return why_set(why, OUTCOME_TORN,
                       "the chunk at 0x%" PRIx64 " is in a tcache list that it does not fit",
                       entry - CHUNK_HEADER_BYTES);
    *bytes = size;
    return 0;
}

/*
 * A mapping holds one chunk, and only that can be in a list. If the search for mappings did not see
 * that memalign moved its header up, the list tells.
 */
static bool is_mmapped_entry(struct list_reader *reader, struct heap_region *region,
                             remote_addr entry)
{
    uint64_t header[2], lead = entry - CHUNK_HEADER_BYTES - region->range.start;

    if (lead == region->lead)
        return true;
    if (region->lead ||
        memory_cache_read(&reader->cache, entry - CHUNK_HEADER_BYTES, header, sizeof header, NULL))
        return false;
    if ((header[0] & ~(uint64_t)1) != lead || (header[1] & CHUNK_FLAGS) != CHUNK_MMAPPED ||
        align_up(lead + header[1], PAGE_BYTES) != range_length(region->range))
        return false;
    region->lead = lead;
    return true;
}

static bool is_entry(struct list_reader *reader, remote_addr entry)
{
    return is_link(reader, entry) && (reader->region->kind != REGION_MMAPPED ||
                                      is_mmapped_entry(reader, reader->region, entry));
}

/* A thread may be between taking an entry and counting it: one off is no contradiction. */
static int read_tcache_bin(struct list_reader *reader, unsigned bin, uint64_t count,
                           remote_addr entry, struct why *why)
{
    uint64_t seen = 0, bytes = 0;

    reader->link_offset = 0;
    while (entry) {
        int r;

        if (!is_entry(reader, entry) || ++seen > count + 1)
            return why_set(why, OUTCOME_TORN, "a tcache list of %" PRIu64 " chunks does not end",
                           count);
        r = entry_bytes(reader, bin, entry, &bytes, why);
        if (r == 0)
            r = chunk_marks_add(&reader->glibc->marks,
                                (struct chunk_mark){.chunk = entry - CHUNK_HEADER_BYTES,
                                                    .bytes = bytes,
                                                    .kind = MARK_TCACHE_ENTRY});
        if (r == 0)
            r = read_link(reader, entry, &entry, why);
        if (r)
            return r;
    }
    if (seen + 1 < count)
        return why_set(why, OUTCOME_TORN, "a tcache list of %" PRIu64 " chunks ends after %" PRIu64,
                       count, seen);
    return 0;
}

static int read_tcache(struct list_reader *reader, remote_addr address, struct why *why)
{
    const struct tcache_layout *layout = reader->glibc->tcache;
    uint8_t bytes[TCACHE_STRUCT_MOST];
    uint64_t size = 0;
    int r = memory_cache_read(&reader->cache, address, bytes, layout->size, why);

    if (r == 0)
        r = memory_cache_read(&reader->cache, address - 8, &size, sizeof size, why);
    if (r == 0)
        r = chunk_marks_add(&reader->glibc->marks,
                            (struct chunk_mark){.chunk = address - CHUNK_HEADER_BYTES,
                                                .bytes = size & ~(uint64_t)CHUNK_FLAGS,
                                                .kind = MARK_TCACHE_STRUCT});
    for (unsigned bin = 0; r == 0 && bin < layout->bins; bin++) {
        uint64_t count;

        if (!glibc_tcache_count(reader->glibc, layout, bytes, bin, &count))
            r = why_set(why, OUTCOME_TORN, "a tcache has room for more than all it may hold");
        else
            r = read_tcache_bin(reader, bin, count,
                                field_u64(bytes, layout->entries + 8 * (size_t)bin), why);
    }
    return r;
}

/* Threads made by a bare clone may share a thread pointer, and so a tcache. */
static bool is_repeated(const remote_addr *structs, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (structs[i] == structs[index])
            return true;
    return false;
}

static void refuse_unknown(struct glibc *glibc, size_t threads)
{
    struct why reason;

    why_set(&reason, 0, "of %zu threads they could not be read: their chunks count as live",
            threads);
    heap_refuse(&glibc->heap, &reason, "tcaches");
}

/* Also adds up what waits in it. */
static int read_tcache_of(struct list_reader *reader, pid_t tid, remote_addr address,
                          struct why *why)
{
    const struct chunk_marks *marks = &reader->glibc->marks;
    struct heap_cache cache = {.tid = tid};
    size_t first = marks->count;
    int r = read_tcache(reader, address, why);

    for (size_t i = first; r == 0 && i < marks->count; i++)
        if (marks->items[i].kind == MARK_TCACHE_ENTRY) {
            cache.chunks++;
            cache.bytes += marks->items[i].bytes;
        }
    return r ? r : vector_push(&reader->glibc->heap.caches, cache);
}

static void refuse_left_behind(struct glibc *glibc, const struct why *reason)
{
    heap_refuse(&glibc->heap, reason, "cache of a thread that a fork left behind (counts as live)");
}

/*
 * In a process that another with threads has forked, the other threads' caches are in use for ever.
 * They had no time to come to rest: one that contradicts itself counts as live, and alone.
 */
static int read_left_behind(struct list_reader *reader, const struct thread_tcaches *tcaches)
{
    struct chunk_marks *marks = &reader->glibc->marks;
    int r = 0;

    for (size_t i = 0; r == 0 && i < tcaches->left_behind.count; i++) {
        struct heap_cache *sum = &reader->glibc->heap.left_behind;
        size_t first = marks->count;
        struct why reason = {{0}};

        r = read_tcache(reader, tcaches->left_behind.items[i], &reason);
        if (r > 0) {
            marks->count = first;
            refuse_left_behind(reader->glibc, &reason);
            r = 0;
        }
        for (size_t k = first; k < marks->count; k++)
            if (marks->items[k].kind == MARK_TCACHE_ENTRY) {
                sum->chunks++;
                sum->bytes += marks->items[k].bytes;
            }
    }
    return r;
}

static int read_tcaches(struct list_reader *reader, const struct glibc_instance *instance,
                        struct why *why)
{
    const struct heap_view *view = reader->view;
    struct thread_tcaches tcaches;
    int r = glibc_find_tcaches(view, reader->glibc, instance, &tcaches, why);

    if (r)
        return r;
    if (tcaches.unknown)
        refuse_unknown(reader->glibc, tcaches.unknown);
    for (size_t i = 0; r == 0 && i < view->thread_count; i++)
        if (tcaches.structs[i] && !is_repeated(tcaches.structs, i))
            r = read_tcache_of(reader, view->threads[i].tid, tcaches.structs[i], why);
    if (r == 0)
        r = read_left_behind(reader, &tcaches);
    thread_tcaches_free(&tcaches);
    return r;
}

static int read_fastbin(struct list_reader *reader, struct arena_detail *detail, size_t bin,
                        struct why *why)
{
    struct chunk_set *sets = reader->glibc->fastbins;
    uint64_t bytes = fastbin_bytes(bin);
    remote_addr chunk = detail->fastbins[bin];

    reader->link_offset = CHUNK_HEADER_BYTES;
    while (chunk) {
        int r;

        if (!is_link(reader, chunk))
            return why_set(why, OUTCOME_TORN, "a fastbin leads nowhere");
        r = chunk_set_add(&sets[fastbin_set_of(chunk, bytes)], chunk);
        if (r)
            return r > 0 ? why_set(why, r, "a fastbin is linked in a loop") : r;
        detail->fastbin_count++;
        detail->fastbin_sum += hash_address(chunk);
        r = read_link(reader, chunk + CHUNK_HEADER_BYTES, &chunk, why);
        if (r)
            return r;
    }
    return 0;
}

static int read_fastbins(struct list_reader *reader, const struct glibc_instance *instance,
                         struct why *why)
{
    struct glibc *glibc = reader->glibc;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < instance->arena_count; i++) {
        struct arena_detail *detail = &glibc->details.items[instance->first_arena + i];

        for (unsigned bin = 0; r == 0 && bin < FASTBIN_COUNT; bin++) /* all empty from 2.43 on */
            r = read_fastbin(reader, detail, bin, why);
    }
    return r;
}

static int read_instance(struct list_reader *reader, size_t index, struct why *why)
{
    struct glibc *glibc = reader->glibc;
    const struct glibc_instance *instance = &glibc->instances[index];
    size_t marks = glibc->marks.count;
    struct why reason = {{0}};
    int r = reader->view->threads ? read_tcaches(reader, instance, index ? &reason : why) : 0;

    if (r == 0)
        r = read_fastbins(reader, instance, index ? &reason : why);
    if (r <= 0 || index == 0)
        return r;
    /* Of another copy of malloc nothing is believed, and of the first all. */
    glibc->marks.count = marks;
    for (uint32_t i = 0; i < instance->arena_count; i++)
        if (!glibc->heap.arenas.items[instance->first_arena + i].refused)
            glibc_refuse_arena(glibc, instance->first_arena + i, &reason);
    return 0;
}

int glibc_read_lists(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct list_reader reader = {.view = view, .glibc = glibc};
    int r = memory_cache_open(&reader.cache, view->memory, view->memo ? &view->memo->room : NULL);

    for (size_t i = 0; r == 0 && i < glibc->instance_count; i++)
        r = read_instance(&reader, i, why);
    chunk_marks_sort(&glibc->marks);
    memory_cache_close(&reader.cache);
    return r;
}
