/*
 * Allocators behind one interface. A decoder finds its heap in a process' memory, says which ranges
 * are its own (regions), and walks them, handing over spans. It does not know what becomes of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"
#include "elf/image.h"
#include "elf/unwind.h"
#include "heap/census.h"
#include "heap/hints.h"
#include "mem/cache.h"
#include "mem/memory.h"
#include "mem/window.h"
#include "procfs/maps.h"

/* A stopped thread. */
struct heap_thread {
    pid_t tid;
    remote_addr thread_pointer; /* fs_base */
    struct unwind_registers registers;
};

/*
 * What a decoder learnt of the images, kept from one open to the next so that a stop does not pay for it again. Zero it
 * when images or the heap's place change.
 */
enum { MEMO_MALLOCS = 4, MEMO_TLS_OFFSETS = 64 };

struct heap_memo {
    remote_addr version_of;           /* the main arena that the version is of; 0: not learnt yet */
    char version[32];
    struct malloc_memo {              /* one a copy of malloc */
        remote_addr main_arena;
        bool code_known;              /* the next three were learnt */
        struct range code;            /* empty: it was not found, for the reason in `why` */
        remote_addr single_threaded;  /* of libc's flag that no second thread was started; 0: it has none */
        struct why why;
        bool tls_known;               /* the same of where libc's thread-local variables are */
        int64_t tls_offsets[MEMO_TLS_OFFSETS];
        size_t tls_count;
    } items[MEMO_MALLOCS];
    size_t count;
    remote_addr mmapped_of;           /* the main arena whose mmapped chunks these are; 0: not searched for yet */
    struct memo_chunk *mmapped;
    size_t mmapped_count;
    uint64_t mmapped_told[2];         /* malloc's own count and sum of them then */
    struct cache_room room;           /* for following lists; whoever expects long ones makes it */
};

struct memo_chunk {
    struct range range;
    uint64_t lead, header[2];        /* as struct heap_region has it; and what stands there */
};

void heap_memo_forget(struct heap_memo *memo); /* all of it, and releases what it holds */

/* What a decoder may look at: one frozen (or running) view of a process. All borrowed. */
struct heap_view {
    struct memory *memory;
    const struct maps *maps;
    struct elf_images *images;         /* may have no items (fake processes) */
    const struct heap_thread *threads; /* NULL when they could not be stopped and so not be asked */
    size_t thread_count;
    const remote_addr *ended;          /* thread pointers that threads had which are no more, where still known */
    size_t ended_count;
    bool running;                      /* the process was not stopped: nothing is certain */
    struct heap_memo *memo;            /* NULL: nothing is kept */
    const struct progress *progress;   /* is told how much of the heap has been walked; NULL: nobody is */
    bool brief;                        /* the process is being held: what `memo` has is not searched for again */
    bool lists_later;                  /* for a survey: what threads and fastbins hold is not wanted yet */
    bool zeros_known;                  /* the memory's flags tell which pages hold only zeros: nothing is read for it */
};

enum span_state {
    SPAN_LIVE,      /* held by the program */
    SPAN_TCACHE,    /* free, in a thread's cache */
    SPAN_FASTBIN,   /* free, in a fastbin */
    SPAN_BIN,       /* free, in the unsorted, a small or a large bin */
    SPAN_TOP,       /* free, the top chunk */
    SPAN_FENCE,     /* fencepost or waste that can never be handed out */
    SPAN_METADATA,  /* arena and heap headers, tcache structs */
    SPAN_UNKNOWN,   /* inside the region, and could not be decoded */
    SPAN_STATES,
};

/*
 * A part of one chunk that lies in one window. A chunk that crosses windows comes as several spans:
 * `head` is on the one with its header, `tail` on the one with its last byte.
 */
struct heap_span {
    remote_addr start;
    uint64_t length;
    remote_addr chunk;    /* where its chunk begins: in an earlier window unless `head` */
    uint64_t chunk_bytes; /* of the whole chunk; 0 in a run */
    uint32_t chunks;      /* that begin in it: 0 or 1, or more in a run of live chunks */
    uint32_t binned_chunks, fast_chunks;   /* in a run: small free chunks, each between two live ones; all of the run is */
    uint64_t binned_bytes, fast_bytes;     /* resident then, and none of them holds a whole page */
    uint8_t state;        /* enum span_state */
    bool head, tail;
};

enum region_kind { REGION_MAIN, REGION_THREAD_HEAP, REGION_MMAPPED };

struct heap_region {
    struct range range;
    enum region_kind kind;
    uint32_t arena;      /* index into heap.arenas; meaningless for REGION_MMAPPED */
    uint64_t lead;       /* REGION_MMAPPED: bytes before the chunk, which memalign moved up */
    bool refused;        /* not walked: its resident bytes are unexplained, see heap.refusals */
};

struct heap_arena {
    remote_addr address; /* of its malloc_state */
    bool main;           /* several may be: each copy of malloc (dlmopen) has one, and its other arenas follow it */
    bool other_copy;     /* of a malloc that is not the one the program itself calls */
    bool locked;         /* its lock was held while we looked */
    bool refused;        /* it contradicts itself or its layout is unknown: no figure of it is known */
    unsigned heaps;
    uint64_t reserved_bytes; /* address space set aside */
    uint64_t system_bytes;   /* the allocator's own count of what it got from the kernel */
    remote_addr top;
    uint64_t top_bytes;
};

struct heap_settings {
    uint64_t mmap_threshold, trim_threshold, top_pad; /* in force now, bytes */
    bool dynamic_threshold;  /* freeing a large block still raises the thresholds */
    uint64_t arena_max;      /* 0: no limit was set */
    uint64_t arena_test;     /* arenas from which on the number of CPUs limits them */
    uint64_t mmap_max;       /* most mmapped chunks at a time; 0: none is made */
    uint64_t mmapped_count, mmapped_bytes; /* the allocator's own count of mmapped chunks */
    uint64_t tcache_count;   /* chunks of a size that a thread keeps */
    uint64_t tcache_max_bytes; /* as it stands in mp_: what it bounds depends on the version */
    uint64_t hp_pagesize;    /* glibc.malloc.hugetlb >= 2: bytes of the huge pages asked for; 0: none */
    uint64_t thp_pagesize;   /* glibc.malloc.hugetlb = 1: bytes of a transparent huge page; 0: none are asked for */
};

/* Where some of them stand in the process, for who sets them; 0: not known. */
struct heap_setting_places {
    remote_addr mmap_threshold, trim_threshold; /* uint64_t each */
    remote_addr mmap_max, static_thresholds;    /* int each; the latter is 1 where !dynamic_threshold */
};

/* What is free and waits in one thread's cache. */
struct heap_cache {
    pid_t tid;
    uint64_t chunks, bytes; /* of whole chunks, resident or not */
};

struct heap_caches {
    struct heap_cache *items; /* one a thread that has a cache */
    size_t count, capacity;
};

struct heap_refusal {
    char what[80];
    struct why reason;
};

struct heap_refusals {
    struct heap_refusal *items;
    size_t count, capacity;
};

struct allocator;

struct heap {
    const struct allocator *allocator;
    char version[32];                 /* "2.36", or "" when the image does not tell */
    struct heap_settings settings;
    struct heap_setting_places places;
    uint64_t trim_unit;               /* the main top is trimmed in multiples of this */
    struct heap_arenas {
        struct heap_arena *items;     /* the main arena first */
        size_t count, capacity;
    } arenas;
    struct heap_regions {
        struct heap_region *items;    /* ascending, not overlapping */
        size_t count, capacity;
    } regions;
    struct heap_caches caches;
    struct heap_cache left_behind;    /* in caches of threads that a fork did not take along: out of reach for ever */
    struct heap_refusals refusals;
    struct heap_census census;        /* of what was walked and believed */
};

/*
 * Takes what a walk finds. One sink object is used by one thread at a time; for a part of a region that another
 * thread walks, `fork` makes an empty child, and children are joined into their parent in address order.
 * A part can turn out to have begun at a wrong place: its child is discarded and the part walked again.
 */
struct span_sink {
    const struct span_sink_ops *ops;
    bool takes_runs; /* live chunks, and small free ones between them, may come as one span; false: each chunk on its own */
};

struct span_sink_ops {
    /* A child for a part of `region`; NULL when memory is short. */
    struct span_sink *(*fork)(struct span_sink *sink, const struct heap_region *region);
    /* Spans inside `window`, ascending, without gaps or overlaps from call to call. 0 or negative errno. */
    int (*take)(struct span_sink *sink, const struct page_window *window, const struct heap_span *spans, size_t count);
    /* Adds `child`, whose spans follow all that came so far in its region, and releases it. 0 or negative errno. */
    int (*join)(struct span_sink *sink, struct span_sink *child);
    void (*discard)(struct span_sink *child);
};

/* A free chunk that holds a whole page behind its header, or a top. */
struct free_chunk {
    remote_addr address;
    uint64_t bytes;
    uint32_t arena;
    uint8_t state;     /* SPAN_BIN or SPAN_TOP */
};

/*
 * What must be left of a free chunk: its header and list pointers (sizeof(struct malloc_chunk)); of a top, what systrim leaves
 * (MINSIZE and a byte).
 */
static inline uint64_t heap_free_chunk_keeps(enum span_state state)
{
    return state == SPAN_TOP ? 33 : 48;
}

/* The whole pages behind that: they hold nothing of anybody's. May be empty (end <= start). */
static inline struct range heap_free_chunk_pages(const struct free_chunk *chunk)
{
    return (struct range){align_up(chunk->address + heap_free_chunk_keeps((enum span_state)chunk->state), PAGE_BYTES),
                          align_down(chunk->address + chunk->bytes, PAGE_BYTES)};
}

struct free_chunks {
    struct free_chunk *items; /* ascending, not overlapping */
    size_t count, capacity;
};

/* The index of the first that ends above `address`; their count if none does. */
size_t free_chunks_above(const struct free_chunks *chunks, remote_addr address);

/* Which are wanted. */
struct free_query {
    const struct range *within; /* those of which a part lies in one of these; NULL: all */
    size_t within_count;
    const struct range *next;   /* what the next query will be about, for its hints; may be NULL */
    size_t next_count;
    struct read_hints *hints;   /* loaded in this stop, or empty */
    /*
     * NULL: the lists are followed from their heads. Else only these, which were free in an earlier stop, are looked at again, each
     * by itself: see glibc/confirm.c. For who has to be quick.
     */
    const struct free_chunks *known;
};

/* What a decoder noted of a running process' heap, to be completed in a stop. Its own, opaque. */
struct heap_survey;

struct allocator {
    const char *name;
    /*
     * Finds and verifies. 0 and a heap (release with allocator->close); OUTCOME_NOT_FOUND when this allocator does not
     * serve the process; OUTCOME_LAYOUT_UNKNOWN or OUTCOME_TORN with the reason; negative errno.
     */
    int (*open)(const struct heap_view *view, struct heap **ret_heap, struct why *why);
    /* Whether the structures may be believed now: OUTCOME_TORN (with what is going on) to ask for another moment. */
    int (*settled)(const struct heap_view *view, const struct heap *heap, struct why *why);
    /*
     * Walks every region that is not refused, on at most `threads` threads. Regions that contradict themselves
     * are marked refused, with a refusal, and their part of the sink's figures is discarded. 0 or negative errno.
     */
    int (*walk)(const struct heap_view *view, struct heap *heap, struct span_sink *sink, unsigned threads,
                struct why *why);
    void (*close)(struct heap *heap);
    /*
     * The walk of a heap that goes on changing, in three steps, so that a stop lasts only as long as what must be
     * consistent takes to read. NULL for a decoder that cannot. Errors as above; OUTCOME_NOT_POSSIBLE: more free chunks
     * than are kept.
     *
     * survey: walks while the process runs, noting what seems free. `heap` was opened with view->lists_later, and may be
     * closed afterwards.
     */
    int (*survey)(const struct heap_view *view, const struct heap *heap, unsigned threads, struct heap_survey **ret,
                  struct why *why);
    /* capture: in a stop, with the heap opened in it: reads again what was noted, and what became free since. */
    int (*capture)(const struct heap_view *view, const struct heap *heap, struct heap_survey *survey, struct why *why);
    /* resolve: afterwards, content is not needed: OUTCOME_TORN when what was captured contradicts itself. */
    int (*resolve)(const struct heap *heap, struct heap_survey *survey, struct why *why);
    /*
     * sweep: as `walk`, from what was captured. Blocks in use are told as runs; how many is as of the survey.
     * OUTCOME_TORN when what was captured contradicts itself after all: then the sink has got an unusable part.
     */
    int (*sweep)(const struct heap_view *view, struct heap *heap, const struct heap_survey *survey,
                 struct span_sink *sink, struct why *why);
    /* Bytes of free chunks that changed between the survey and the capture, or turned up in it. */
    uint64_t (*unsure_bytes)(const struct heap_survey *survey);
    void (*survey_free)(struct heap_survey *survey);
    /*
     * The free chunks that hold whole pages, as the allocator's own lists have them, for who is going to give these pages
     * back: in a stop, with the heap opened in it and found settled. Arenas that are refused are left out. NULL for a decoder that
     * cannot. OUTCOME_TORN: a list contradicts itself, and nothing is told. Release with free(ret->items).
     */
    int (*free_chunks)(const struct heap_view *view, struct heap *heap, const struct free_query *query,
                       struct free_chunks *ret, struct why *why);
};

/* Every decoder, in the order in which they are tried. NULL-terminated. */
extern const struct allocator *const allocators[];

/* Adds a refusal; memory shortage loses it silently, as there is nobody to tell. */
void heap_refuse(struct heap *heap, const struct why *reason, const char *what_format, ...) printf_like(3, 4);
