/* glibc's malloc from outside: what the files of this folder share. */
#pragma once

#include <string.h>

#include "heap/glibc/layout.h"
#include "heap/glibc/marks.h"
#include "heap/heap.h"

/* What the walk needs of one arena beyond struct heap_arena. */
struct arena_detail {
    remote_addr fastbins[FASTBIN_COUNT]; /* list heads: chunk addresses, never mangled */
    bool initial;           /* top is still the bin header: never had memory */
    /* The arena's own ends of the bin lists, as sums (see struct list_sums). */
    uint64_t head_targets_fd, head_targets_bk, head_addresses;
    uint64_t fastbin_count, fastbin_sum; /* entries of its fastbins, and the sum of hash_address of them */
    bool in_pieces;         /* a main arena whose memory is not one piece grown by brk: its pieces are searched for */
};

/*
 * One copy of glibc's malloc: the program's, and one more in every link-map namespace (dlmopen) that has allocated;
 * libc_malloc_debug.so is one, too.
 */
struct glibc_instance {
    const struct state_layout *state;
    remote_addr main_arena;
    uint64_t system_bytes;     /* of its main arena */
    struct elf_image *image;   /* the libc (or static program) that the arena lies in; NULL for fakes */
    remote_addr mp, sbrk_base;
    uint32_t first_arena, arena_count; /* in heap.arenas: the main arena and its ring */
};

enum { INSTANCES_MOST = 16 };

struct glibc {
    struct heap heap; /* first */
    const struct state_layout *state;
    const struct par_layout *par;
    const struct heap_info_layout *heap_info; /* NULL while there is no thread arena */
    const struct tcache_layout *tcache; /* NULL while no thread has one */
    remote_addr main_arena, mp; /* of the first instance */
    uint64_t heap_reserve;     /* HEAP_MAX_SIZE in force */
    struct elf_image *image;   /* of the first instance */
    struct glibc_instance instances[INSTANCES_MOST]; /* the one with most memory first; all of one layout */
    size_t instance_count;
    struct arena_details {
        struct arena_detail *items; /* one an arena */
        size_t count, capacity;
    } details;
    struct chunk_marks marks;  /* tcache chunks and structs */
    struct chunk_set fastbins[FASTBIN_SETS]; /* fastbin chunks, see fastbin_set_of */
    bool links_mangled;        /* safe-linking (2.32, a1a486d70e): inferred from the lists' ends */
    bool links_known;
};

static inline struct glibc *glibc_of(struct heap *heap)
{
    return (struct glibc *)heap;
}

static inline const struct glibc *glibc_of_const(const struct heap *heap)
{
    return (const struct glibc *)heap;
}

/* Fields out of a structure that was read whole. */
static inline uint64_t field_u64(const uint8_t *bytes, size_t offset)
{
    uint64_t value;

    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

static inline uint32_t field_u32(const uint8_t *bytes, size_t offset)
{
    uint32_t value;

    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

/*
 * A mixer for order-independent sums: two multisets of addresses with equal sums of this are equal, but for a chance of
 * about 2^-64. (Both halves of a 128-bit product, as in wyhash: one multiplication, as the walk needs three a free chunk.)
 */
static inline uint64_t hash_address(uint64_t address)
{
    unsigned __int128 product = (unsigned __int128)(address ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The address of bin `index`'s header seen as a chunk (1..127). */
static inline remote_addr bin_header(const struct state_layout *state, remote_addr arena, unsigned index)
{
    return arena + state->bins + 16 * (uint64_t)(index - 1) - 16;
}

/*
 * Fastbin chunks are kept by size, and by whether they begin in the first or the second half of 32 bytes, so that one bit
 * for 32 bytes tells exactly where. FASTBIN_SETS: this size is in no fastbin.
 */
static inline size_t fastbin_set_of(remote_addr chunk, uint64_t bytes)
{
    uint64_t bin = bytes / CHUNK_ALIGNMENT - 2;

    return bin < FASTBIN_COUNT ? 2 * (size_t)bin + (chunk / CHUNK_ALIGNMENT & 1) : FASTBIN_SETS;
}

static inline uint64_t fastbin_bytes(size_t bin)
{
    return (bin + 2) * CHUNK_ALIGNMENT;
}

extern const struct allocator glibc_allocator;

/* survey.c, capture.c, resolve.c, sweep.c: see struct allocator. */
int glibc_survey(const struct heap_view *view, const struct heap *heap, unsigned threads, struct heap_survey **ret,
                 struct why *why) must_check;
int glibc_capture(const struct heap_view *view, const struct heap *heap, struct heap_survey *survey, struct why *why)
    must_check;
int glibc_resolve(const struct heap *heap, struct heap_survey *survey, struct why *why) must_check;
int glibc_sweep(const struct heap_view *view, struct heap *heap, const struct heap_survey *survey,
                struct span_sink *sink, struct why *why) must_check;
uint64_t glibc_unsure_bytes(const struct heap_survey *survey);
void glibc_survey_free(struct heap_survey *survey);

/* free-chunks.c: see struct allocator. */
int glibc_free_chunks(const struct heap_view *view, struct heap *heap, const struct free_query *query,
                      struct free_chunks *ret, struct why *why) must_check;

/* find.c: main arenas that have memory, by signature, into the instances. 0, OUTCOME_NOT_FOUND, negative errno. */
int glibc_find_instances(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

/*
 * instances.c: settings, arenas and regions of every instance. One that is laid out in another way than the first,
 * or contradicts itself, is refused alone.
 */
int glibc_read_instances(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

/* instances.c: what view->memo keeps of an instance, perhaps nothing yet; NULL when nothing is kept. */
struct malloc_memo *glibc_memo_of(const struct heap_view *view, const struct glibc_instance *instance);

/* settings.c: mp_ and the settings in force. Needs the main arena's state. */
int glibc_read_settings(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

/* arenas.c: follows an instance's ring, reads every arena, and lists its regions, but for a main arena in pieces. */
int glibc_read_arenas(const struct heap_view *view, struct glibc *glibc, struct glibc_instance *instance,
                      struct why *why) must_check;

/* pieces.c (and search-pieces.c): the regions of main arenas in pieces; refuses those whose pieces are not all found. Negative errno. */
int glibc_find_pieces(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

/* reserve.c: HEAP_MAX_SIZE, from where the arenas lie. Needs the settings and the ring of arenas. */
void glibc_infer_reserve(const struct heap_view *view, struct glibc *glibc);

/*
 * arenas.c: refuses regions that overlap, or do not lie in writable private anonymous memory of small pages: what is
 * told of a heap may be nobody's word but a corrupt heap's. Call when all regions are known.
 */
void glibc_check_regions(const struct heap_view *view, struct glibc *glibc);

/* arenas.c: whether heaps may lie in this mapping: private, anonymous, writable, of small pages. */
bool glibc_may_hold_heap(const struct vma *vma);

/* arenas.c: nothing of this arena is believed. Its regions go; it stays in the list. */
void glibc_refuse_arena(struct glibc *glibc, uint32_t index, const struct why *reason);

/* mmapped.c: adds a region for every mmapped chunk. Never fails for ambiguity: refuses instead. */
int glibc_find_mmapped(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

/* lists.c: tcaches and fastbins, into marks and the fastbin set. */
int glibc_read_lists(const struct heap_view *view, struct glibc *glibc, struct why *why) must_check;

struct thread_tcaches {
    remote_addr *structs; /* one a thread; 0: it has none */
    size_t unknown;       /* threads of which it could not be read */
    struct tcache_addresses {
        remote_addr *items;
        size_t count, capacity;
    } left_behind;        /* of threads that were not taken along by a fork */
};

/*
 * tcache.c: where the threads' tcache structs are that the malloc in `image` uses, and their layout. Release with
 * thread_tcaches_free.
 */
int glibc_find_tcaches(const struct heap_view *view, struct glibc *glibc, const struct glibc_instance *instance,
                       struct thread_tcaches *ret, struct why *why) must_check;
void thread_tcaches_free(struct thread_tcaches *tcaches);
/* Fills view->memo, so that finding them in a stop is quick. 0 or -ENOMEM. */
int glibc_prepare_tcaches(const struct heap_view *view, const struct glibc *glibc) must_check;


/* tcache.c: how many chunks `bin` of a tcache struct holds; false when it cannot be what a count is there. */
bool glibc_tcache_count(const struct glibc *glibc, const struct tcache_layout *layout, const uint8_t *bytes,
                        unsigned bin, uint64_t *ret) must_check;

/* parallel.c */
int glibc_walk(const struct heap_view *view, struct heap *heap, struct span_sink *sink, unsigned threads,
               struct why *why) must_check;

/* arenas.c: after regions were added. */
void glibc_sort_regions(struct glibc *glibc);

/* The region that holds `address`, or NULL; regions must be sorted. */
struct heap_region *glibc_region_at(struct glibc *glibc, remote_addr address);
