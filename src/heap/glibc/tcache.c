/*
 * Each thread's tcache. libc keeps the pointer in an initial-exec thread-local variable; its offset
 * from the thread pointer is the same for all threads and stands in one of the GOT slots that
 * libc's own relocations name. Which slot is told by what the variable holds: nothing, or the
 * address of a chunk whose size and content fit one of the layouts. A static program has no such
 * relocations: then every word below the thread pointer is a candidate.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/vector.h"
#include "heap/glibc/glibc.h"

enum {
    TLS_SEARCH_BYTES = 0x1200,
    TLS_MOST_BYTES = 1 << 16,
    STRUCT_BYTES_MOST = 760,
    /* A chunk may be 16 bytes larger than asked for, and 2.43 asks for 16 too many (tcache_init).
     */
    STRUCT_SLACK = 32,
};

/* Where the pointer may be, and what it may point to. */
struct tls_place {
    int64_t offset; /* from the thread pointer */
    const struct tcache_layout *layout;
    size_t uses; /* threads that have a struct there */
};

struct tls_places {
    struct tls_place *items;
    size_t count, capacity;
    struct memory *memory;
    remote_addr page; /* that `bytes` holds; 1: none */
    bool present;
    uint8_t bytes[PAGE_BYTES];
};

/* A thread's variables lie on a page or two, and many places are tried. */
static bool read_word(struct tls_places *places, remote_addr address, uint64_t *ret)
{
    remote_addr page = align_down(address, PAGE_BYTES);

    if (address % sizeof *ret)
        return memory_read_u64(places->memory, address, ret, NULL) == 0;
    if (page != places->page) {
        places->present = memory_read(places->memory, page, places->bytes, PAGE_BYTES, NULL) == 0;
        places->page = page;
    }
    if (places->present)
        memcpy(ret, places->bytes + (address - page), sizeof *ret);
    return places->present;
}

static int add_offset(struct tls_places *places, int64_t offset)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < tcache_layout_count; i++)
        r = vector_push(places,
                        ((struct tls_place){.offset = offset, .layout = &tcache_layouts[i]}));
    return r;
}

static int take_slot(void *context, remote_addr slot)
{
    struct tls_places *places = context;
    uint64_t offset;

    if (memory_read_u64(places->memory, slot, &offset, NULL) != 0)
        return 0;
    return add_offset(places, (int64_t)offset);
}

static int places_of_memo(const struct malloc_memo *memo, struct tls_places *places)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < memo->tls_count; i++)
        r = add_offset(places, memo->tls_offsets[i]);
    return r;
}

/* What the loader has written there stays; reading thousands of relocations is not for a stop. */
static void remember_places(const struct tls_places *places, struct malloc_memo *memo)
{
    if (places->count / tcache_layout_count > MEMO_TLS_OFFSETS)
        return;
    memo->tls_count = 0;
    for (size_t i = 0; i < places->count; i += tcache_layout_count)
        memo->tls_offsets[memo->tls_count++] = places->items[i].offset;
    memo->tls_known = true;
}

static int candidate_places(const struct heap_view *view, const struct glibc_instance *instance,
                            struct tls_places *places)
{
    struct malloc_memo *memo = glibc_memo_of(view, instance);
    struct elf_image *image = instance->image;
    uint64_t most = TLS_SEARCH_BYTES;
    int r = 0;

    if (memo && memo->tls_known)
        return places_of_memo(memo, places);
    if (image && image->elf)
        r = elf_each_tls_slot(image, take_slot, places);
    if (r == 0 && places->count && memo)
        remember_places(places, memo);
    if (r < 0 || places->count)
        return r < 0 ? r : 0;
    /* A static program has no such slots. Its variables lie right below the thread pointer, and
     * below them, already, a thread's stack. */
    if (image && image->tls_bytes)
        most = image->tls_bytes < TLS_MOST_BYTES ? image->tls_bytes : TLS_MOST_BYTES;
    r = 0;
    for (uint64_t offset = 8; r == 0 && offset <= most; offset += 8)
        r = add_offset(places, -(int64_t)offset);
    return r;
}

int glibc_prepare_tcaches(const struct heap_view *view, const struct glibc *glibc)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < glibc->instance_count; i++) {
        struct tls_places places = {.memory = view->memory, .page = 1};

        r = candidate_places(view, &glibc->instances[i], &places);
        free(places.items);
    }
    return r;
}

bool glibc_tcache_count(const struct glibc *glibc, const struct tcache_layout *layout,
                        const uint8_t *bytes, unsigned bin, uint64_t *ret)
{
    uint16_t count = bytes[bin];
    uint64_t room = glibc->heap.settings.tcache_count;

    if (layout->count_bytes == 2)
        memcpy(&count, bytes + 2 * (size_t)bin, sizeof count);
    if (layout->counts_down && count > room)
        return false;
    *ret = layout->counts_down ? room - count : count;
    return true;
}

/*
 * Whether counts and list heads can be what they say. One list may be off: its thread may have been
 * stopped between linking a chunk and counting it.
 */
static bool content_fits(const struct glibc *glibc, const struct tcache_layout *layout,
                         const uint8_t *bytes)
{
    unsigned off = 0;

    for (unsigned bin = 0; bin < layout->bins; bin++) {
        uint64_t entry = field_u64(bytes, layout->entries + 8 * (size_t)bin), count;

        if (entry % CHUNK_ALIGNMENT || (entry && !glibc_region_at((struct glibc *)glibc, entry)) ||
            !glibc_tcache_count(glibc, layout, bytes, bin, &count))
            return false;
        off += (count == 0) != (entry == 0);
    }
    return off <= 1;
}

/* Whether `value` can be the address of a tcache struct: user memory of a chunk in use. */
static bool is_tcache_struct(const struct heap_view *view, const struct glibc *glibc,
                             const struct tcache_layout *layout, remote_addr value)
{
    uint8_t bytes[STRUCT_BYTES_MOST];
    uint64_t size, least = align_up(layout->size + 8, CHUNK_ALIGNMENT);

    if (value % CHUNK_ALIGNMENT ||
        !glibc_region_at((struct glibc *)glibc, value - CHUNK_HEADER_BYTES) ||
        memory_read_u64(view->memory, value - 8, &size, NULL) != 0)
        return false;
    if ((size & ~(uint64_t)CHUNK_FLAGS) < least)
        return false;
    if (!(size & CHUNK_MMAPPED) && (size & ~(uint64_t)CHUNK_FLAGS) > least + STRUCT_SLACK)
        return false;
    return memory_read(view->memory, value, bytes, layout->size, NULL) == 0 &&
           content_fits(glibc, layout, bytes);
}

/*
 * Since 2.43 a thread without a tcache has a pointer to a constant of libc's instead of NULL
 * (2bf2188fae), in which no list has anything and no room. Its page may have been dropped.
 */
static bool is_dummy(const struct heap_view *view, const struct tcache_layout *layout,
                     remote_addr value)
{
    const struct vma *vma = maps_find(view->maps, value);
    uint8_t bytes[STRUCT_BYTES_MOST];

    int r;

    if (!vma || vma->writable || vma_is_anonymous(vma) || !layout->counts_down)
        return false;
    r = memory_read(view->memory, value, bytes, layout->size, NULL);
    if (r)
        return r == OUTCOME_UNREADABLE;
    for (size_t i = 0; i < layout->size; i++)
        if (bytes[i])
            return false;
    return true;
}

enum tls_value { TLS_NOTHING, TLS_STRUCT, TLS_MISFIT, TLS_UNKNOWN };

/* What thread `i` has at `place`. Unknown where it has no thread pointer (an io_uring worker) or
 * its page is not here. */
static enum tls_value value_at(const struct heap_view *view, const struct glibc *glibc,
                               struct tls_places *places, remote_addr pointer,
                               const struct tls_place *place, remote_addr *ret_value)
{
    remote_addr value;

    if (!pointer || !read_word(places, pointer + (uint64_t)place->offset, &value))
        return TLS_UNKNOWN;
    if (!value || is_dummy(view, place->layout, value))
        return TLS_NOTHING;
    if (!is_tcache_struct(view, glibc, place->layout, value))
        return TLS_MISFIT;
    *ret_value = value;
    return TLS_STRUCT;
}

/* Keeps the places that thread `i` does not speak against. */
static void keep_fitting(const struct heap_view *view, const struct glibc *glibc,
                         struct tls_places *places, size_t i)
{
    size_t kept = 0;

    for (size_t k = 0; k < places->count; k++) {
        struct tls_place place = places->items[k];
        remote_addr value;
        enum tls_value found =
            value_at(view, glibc, places, view->threads[i].thread_pointer, &place, &value);

        if (found == TLS_MISFIT)
            continue;
        place.uses += found == TLS_STRUCT;
        places->items[kept++] = place;
    }
    places->count = kept;
}

/* The one place that held a struct in some thread and nothing else in any; NULL when no thread has
 * a tcache. */
static int choose_place(const struct tls_places *places, const struct tls_place **ret,
                        struct why *why)
{
    size_t hits = 0;

    *ret = NULL;
    for (size_t k = 0; k < places->count; k++)
        if (places->items[k].uses) {
            *ret = &places->items[k];
            hits++;
        }
    if (hits > 1)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "%zu places or layouts fit the threads' tcaches", hits);
    if (places->count == 0)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "the threads' tcache pointer was not found");
    return 0;
}

static int read_pointers(const struct heap_view *view, const struct glibc *glibc,
                         struct tls_places *places, const struct tls_place *place,
                         remote_addr *ret_structs, size_t *ret_unknown, struct why *why)
{
    size_t unknown = 0;

    for (size_t i = 0; i < view->thread_count; i++) {
        enum tls_value found = place
                                   ? value_at(view, glibc, places, view->threads[i].thread_pointer,
                                              place, &ret_structs[i])
                                   : TLS_NOTHING;

        if (found == TLS_MISFIT)
            return why_set(why, OUTCOME_TORN,
                           "a thread's tcache pointer changed while it was read");
        if (found != TLS_STRUCT)
            ret_structs[i] = 0;
        unknown += found == TLS_UNKNOWN && view->threads[i].thread_pointer;
    }
    *ret_unknown = unknown;
    return 0;
}

/* When no living thread has a tcache, those that a fork left behind may still tell the place. */
static void count_left_behind(const struct heap_view *view, const struct glibc *glibc,
                              struct tls_places *places)
{
    for (size_t k = 0; k < places->count; k++)
        if (places->items[k].uses)
            return;
    for (size_t i = 0; i < view->ended_count; i++)
        for (size_t k = 0; k < places->count; k++) {
            remote_addr value;

            places->items[k].uses += value_at(view, glibc, places, view->ended[i],
                                              &places->items[k], &value) == TLS_STRUCT;
        }
}

static bool is_one_of(const remote_addr *structs, size_t count, remote_addr address)
{
    for (size_t i = 0; i < count; i++)
        if (structs[i] == address)
            return true;
    return false;
}

/* A thread that ends lets go of its tcache first; what still has one was cut off by a fork. */
static int find_left_behind(const struct heap_view *view, const struct glibc *glibc,
                            struct tls_places *places, const struct tls_place *place,
                            struct thread_tcaches *ret)
{
    for (size_t i = 0; i < view->ended_count; i++) {
        remote_addr address;
        int r;

        if (value_at(view, glibc, places, view->ended[i], place, &address) != TLS_STRUCT ||
            is_one_of(ret->structs, view->thread_count, address) ||
            is_one_of(ret->left_behind.items, ret->left_behind.count, address))
            continue;
        r = vector_push(&ret->left_behind, address);
        if (r)
            return r;
    }
    return 0;
}

void thread_tcaches_free(struct thread_tcaches *tcaches)
{
    free(tcaches->structs);
    free(tcaches->left_behind.items);
    *tcaches = (struct thread_tcaches){0};
}

static int find_all(const struct heap_view *view, struct glibc *glibc, struct tls_places *places,
                    struct thread_tcaches *ret, struct why *why)
{
    const struct tls_place *place;
    int r;

    for (size_t i = 0; i < view->thread_count; i++)
        keep_fitting(view, glibc, places, i);
    count_left_behind(view, glibc, places);
    r = choose_place(places, &place, why);
    if (r == 0)
        r = read_pointers(view, glibc, places, place, ret->structs, &ret->unknown, why);
    if (r || !place)
        return r;
    glibc->tcache = place->layout;
    return find_left_behind(view, glibc, places, place, ret);
}

int glibc_find_tcaches(const struct heap_view *view, struct glibc *glibc,
                       const struct glibc_instance *instance, struct thread_tcaches *ret,
                       struct why *why)
{
    struct tls_places places = {.memory = view->memory, .page = 1};
    struct thread_tcaches found = {.structs =
                                       calloc(view->thread_count + 1, sizeof *found.structs)};
    int r = found.structs ? candidate_places(view, instance, &places) : -ENOMEM;

    if (r == 0)
        r = find_all(view, glibc, &places, &found, why);
    free(places.items);
    if (r)
        thread_tcaches_free(&found);
    else
        *ret = found;
    return r;
}
