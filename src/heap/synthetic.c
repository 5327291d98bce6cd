#include "heap/synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where things are. The thread arena's heaps are where any HEAP_MAX_SIZE up to 128 MiB has them. */
#define LIBC_CONSTANTS UINT64_C(0x7f0000100000)
#define LIBC_DATA      UINT64_C(0x7f0000200000)
#define MAIN_HEAP      UINT64_C(0x555555800000)
#define THREAD_BLOCKS  UINT64_C(0x7f0000300000)
#define MAPPINGS       UINT64_C(0x7f0000400000)
#define FIRST_HEAP     UINT64_C(0x7f0010000000)
#define SECOND_HEAP    UINT64_C(0x7f0018000000)

enum {
    DATA_PAGES = 4,
    MP_AT = 0x180,
    MAIN_ARENA_AT = 0xac0,
    MAIN_PAGES = 96,
    HEAP_PAGES = 64,
    MAPPING_PAGES = 400,
    THREAD_BLOCK_PAGES = 16,
    TCACHE_OFFSET = -0x48,
    THREAD_ARENA_OFFSET = -0x38,
    PREV_INUSE = 1,
    MMAPPED = 2,
    NON_MAIN = 4,
    FENCE = 16,
    CHAR_OVERFLOW = 128, /* negative then, and as a size_t more than any limit: no more go in */
    CROWD = 300,
};

uint64_t *synthetic_word(struct synthetic *s, remote_addr address)
{
    for (size_t i = 0; i < s->extent_count; i++) {
        const struct fake_extent *extent = &s->extents[i];

        if (address >= extent->start && address + 8 <= extent->start + extent->pages * PAGE_BYTES)
            return (uint64_t *)(void *)(extent->bytes + (address - extent->start));
    }
    fprintf(stderr, "0x%llx is not in the synthetic heap\n", (unsigned long long)address);
    abort();
}

static void put(struct synthetic *s, remote_addr address, uint64_t value)
{
    *synthetic_word(s, address) = value;
}

static void put_u32(struct synthetic *s, remote_addr address, uint32_t value)
{
    memcpy((uint8_t *)synthetic_word(s, address & ~UINT64_C(7)) + address % 8, &value,
           sizeof value);
}

static uint64_t random_below(struct synthetic *s, uint64_t limit)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (s->seed >> 33) % limit;
}

/* A mapping, and its content unless it is only set aside. */
static void map(struct synthetic *s, remote_addr start, size_t pages, bool writable,
                const char *file)
{
    s->vmas[s->maps.count++] = (struct vma){.range = {start, start + pages * PAGE_BYTES},
                                            .readable = true,
                                            .writable = writable,
                                            .inode = file ? 7 : 0,
                                            .name = file ? file : ""};
    s->extents[s->extent_count++] =
        (struct fake_extent){.start = start, .pages = pages, .bytes = calloc(pages, PAGE_BYTES)};
    if (!s->extents[s->extent_count - 1].bytes)
        abort();
}

static void set_aside(struct synthetic *s, remote_addr start, remote_addr end)
{
    s->vmas[s->maps.count++] = (struct vma){.range = {start, end}, .name = ""};
}

static void expect(struct synthetic *s, remote_addr address, uint64_t bytes, enum span_state state)
{
    if (s->chunk_count == SYNTHETIC_CHUNKS)
        abort();
    s->chunks[s->chunk_count++] = (struct synthetic_chunk){address, bytes, state};
}

/* fd and bk of a free chunk, or of the header of a bin seen as one. */
static remote_addr bin_header(const struct synthetic *s, const struct synthetic_arena *arena,
                              unsigned bin)
{
    return arena->address + s->upstream->malloc_state.bins + 16 * (uint64_t)(bin - 1) - 16;
}

static void link_into_bin(struct synthetic *s, struct synthetic_arena *arena, remote_addr chunk,
                          unsigned bin)
{
    remote_addr header = bin_header(s, arena, bin), tail = arena->bin_tails[bin];

    put(s, tail + 16, chunk);
    put(s, chunk + 24, tail);
    put(s, chunk + 16, header);
    put(s, header + 24, chunk);
    arena->bin_tails[bin] = chunk;
}

static uint64_t protect(const struct synthetic *s, remote_addr field, remote_addr link)
{
    return s->upstream->links_mangled ? field >> 12 ^ link : link;
}

static void push_on_fastbin(struct synthetic *s, struct synthetic_arena *arena, remote_addr chunk,
                            uint64_t bytes)
{
    remote_addr *head = &arena->fastbins[bytes / 16 - 2];

    put(s, chunk + 16, protect(s, chunk + 16, *head));
    *head = chunk;
}

/* csize2tidx and large_csize2tidx. */
static unsigned tcache_bin(uint64_t bytes)
{
    unsigned bin = 64;

    if (bytes <= 0x410)
        return (unsigned)(bytes / 16 - 2);
    while (bytes >> (bin - 64 + 11))
        bin++;
    return bin;
}

static bool push_on_tcache(struct synthetic *s, unsigned thread, remote_addr chunk, uint64_t bytes)
{
    struct synthetic_tcache *tcache = &s->tcaches[thread];
    unsigned bin = tcache_bin(bytes);
    remote_addr entry = chunk + 16, *place, before = 0, next;

    if (!tcache->address || bin >= s->upstream->tcache.bins ||
        tcache->counts[bin] >= s->options.tcache_count ||
        (s->upstream->tcache.count_bytes == 1 && tcache->counts[bin] == CHAR_OVERFLOW) ||
        (s->upstream->tcache.slots_left ? bytes >= s->options.tcache_max_bytes
                                        : bytes > s->options.tcache_max_bytes + 8))
        return false;
    place = &tcache->entries[bin];
    next = *place;
    while (bin >= 64 && next && (*synthetic_word(s, next - 8) & ~UINT64_C(7)) < bytes) {
        before = next;
        next = protect(s, before, *synthetic_word(s, before));
    }
    put(s, entry, protect(s, entry, next));
    if (before)
        put(s, before, protect(s, before, entry));
    else
        *place = entry;
    tcache->counts[bin]++;
    return true;
}

/* Writes chunks in address order. */
struct writer {
    struct synthetic *s;
    struct synthetic_arena *arena;
    remote_addr at;
    uint64_t before; /* the size of the chunk before, if that is in a bin */
};

static void write_header(struct writer *writer, uint64_t bytes, bool carries_arena)
{
    bool non_main = carries_arena && !writer->arena->main;

    put(writer->s, writer->at, writer->before ? writer->before : 0x5a5a5a5a5a5a5a5a);
    put(writer->s, writer->at + 8,
        bytes | (writer->before ? 0 : PREV_INUSE) | (non_main ? NON_MAIN : 0));
}

static void write_chunk(struct writer *writer, uint64_t bytes, enum span_state state,
                        unsigned thread)
{
    struct synthetic *s = writer->s;

    write_header(writer, bytes, state != SPAN_BIN);
    for (uint64_t at = 16; at + 8 <= bytes; at += 8)
        put(s, writer->at + at, 0xabababababababab);
    if (state == SPAN_TCACHE && !push_on_tcache(s, thread, writer->at, bytes))
        state = SPAN_LIVE;
    if (state == SPAN_FASTBIN)
        push_on_fastbin(s, writer->arena, writer->at, bytes);
    if (state == SPAN_BIN)
        link_into_bin(s, writer->arena, writer->at, bytes < 0x400 && bytes % 32 ? bytes / 16 : 1);
    expect(s, writer->at, bytes, state);
    writer->before = state == SPAN_BIN ? bytes : 0;
    writer->at += bytes;
}

static void write_any(struct writer *writer)
{
    struct synthetic *s = writer->s;
    uint64_t bytes = 32 + 16 * random_below(s, UINT64_C(1) << random_below(s, 9));
    uint64_t kind = random_below(s, 10);
    enum span_state state = SPAN_LIVE;

    if (kind < 2 && !writer->before)
        state = SPAN_BIN;
    else if (kind < 4)
        state = SPAN_TCACHE;
    else if (kind < 6 && s->upstream->malloc_state.fastbins_y && bytes <= 0x80)
        state = SPAN_FASTBIN;
    write_chunk(writer, bytes, state, (unsigned)random_below(s, SYNTHETIC_THREADS));
}

/* First more of one size than a count of one byte can tell, if so many may be kept. */
static void write_many(struct writer *writer, remote_addr until)
{
    for (unsigned i = 0; writer->s->options.tcache_count > CHAR_OVERFLOW && i < CROWD; i++)
        write_chunk(writer, 32, SPAN_TCACHE, 1);
    while (writer->at + 0x3000 < until)
        write_any(writer);
    write_chunk(writer, 48, SPAN_LIVE, 0);
}

static void write_tcache_struct(struct writer *writer, unsigned thread, uint64_t slack)
{
    uint64_t bytes = (writer->s->upstream->tcache.bytes + 8u + 15u) & ~15u;

    writer->s->tcaches[thread].address = writer->at + 16;
    write_chunk(writer, bytes + slack, SPAN_METADATA, thread);
}

static void write_top(struct writer *writer, remote_addr end)
{
    writer->arena->top = writer->at;
    write_header(writer, end - writer->at, false);
    expect(writer->s, writer->at, end - writer->at, SPAN_TOP);
}

/* sysmalloc: what closes a heap when the next one is opened. */
static void write_fence(struct writer *writer, remote_addr end)
{
    write_chunk(writer, end - 2 * FENCE - writer->at, SPAN_BIN, 0);
    write_header(writer, FENCE, false);
    expect(writer->s, writer->at, FENCE, SPAN_FENCE);
    put(writer->s, writer->at + FENCE + 8, PREV_INUSE);
    expect(writer->s, writer->at + FENCE, FENCE, SPAN_FENCE);
}

static void start_bins(struct synthetic *s, struct synthetic_arena *arena)
{
    for (unsigned bin = 1; bin <= 127; bin++) {
        arena->bin_tails[bin] = bin_header(s, arena, bin);
        put(s, arena->bin_tails[bin] + 16, arena->bin_tails[bin]);
        put(s, arena->bin_tails[bin] + 24, arena->bin_tails[bin]);
    }
    arena->top = bin_header(s, arena, 1);
}

/* The break was not where an aligned chunk could begin. */
static void build_main(struct synthetic *s)
{
    struct writer writer = {.s = s, .arena = &s->arenas[0], .at = MAIN_HEAP + 16};
    remote_addr end = MAIN_HEAP + MAIN_PAGES * PAGE_BYTES;

    map(s, MAIN_HEAP, MAIN_PAGES, true, NULL);
    write_tcache_struct(&writer, 0, 0);
    write_many(&writer, end);
    write_top(&writer, end);
    s->arenas[0].system_mem = end - MAIN_HEAP - 8;
}

static void write_heap_info(struct synthetic *s, remote_addr heap, remote_addr prev, uint64_t pages)
{
    uint64_t words[] = {s->arenas[1].address, prev, pages * PAGE_BYTES, pages * PAGE_BYTES,
                        PAGE_BYTES};

    for (size_t i = 0; i < s->upstream->heap_info_bytes / 8u && i < 5; i++)
        put(s, heap + 8 * i, words[i]);
}

static void build_heap(struct synthetic *s, remote_addr heap, size_t pages)
{
    map(s, heap, pages, true, NULL);
    set_aside(s, heap + pages * PAGE_BYTES, heap + s->options.heap_reserve);
}

static void build_thread_arena(struct synthetic *s)
{
    struct synthetic_arena *arena = &s->arenas[1];
    uint64_t info = s->upstream->heap_info_bytes, lead = info + s->upstream->malloc_state.bytes;
    struct writer writer = {.s = s, .arena = arena, .at = FIRST_HEAP + ((lead + 15) & ~15u)};
    remote_addr end = FIRST_HEAP + HEAP_PAGES * PAGE_BYTES;

    expect(s, FIRST_HEAP, writer.at - FIRST_HEAP, SPAN_METADATA);
    write_heap_info(s, FIRST_HEAP, 0, HEAP_PAGES);
    write_tcache_struct(&writer, 1, s->upstream->has_dummy_tcache ? 32 : 16);
    write_many(&writer, end);
    write_fence(&writer, end);
    expect(s, SECOND_HEAP, info, SPAN_METADATA);
    write_heap_info(s, SECOND_HEAP, FIRST_HEAP, HEAP_PAGES);
    writer = (struct writer){.s = s, .arena = arena, .at = SECOND_HEAP + info};
    end = SECOND_HEAP + HEAP_PAGES * PAGE_BYTES;
    write_many(&writer, end);
    write_top(&writer, end);
    arena->system_mem = 2 * HEAP_PAGES * PAGE_BYTES;
}

/* An mmapped chunk behind what memalign left before it; then the old header may be of another time.
 */
static void write_mmapped(struct synthetic *s, remote_addr *at, uint64_t total, uint64_t lead,
                          uint64_t stale, int thread)
{
    uint64_t less = s->upstream->mmapped_is_short ? 16 : 0, bytes = total - lead;
    enum span_state state = SPAN_LIVE;

    put(s, *at + 8, (total + stale - less) | MMAPPED);
    if (lead) {
        put(s, *at + lead, lead);
        put(s, *at + lead + 8, (bytes - less) | MMAPPED);
        expect(s, *at, lead, SPAN_FENCE);
    }
    if (thread >= 0 && push_on_tcache(s, (unsigned)thread, *at + lead, bytes - less))
        state = SPAN_TCACHE;
    expect(s, *at + lead, bytes, state);
    s->mmapped_count++;
    s->mmapped_bytes += total;
    *at += total;
}

static void build_mappings(struct synthetic *s)
{
    int cached = s->upstream->mmapped_is_short ? 1 : -1;
    remote_addr at = MAPPINGS;

    map(s, MAPPINGS, MAPPING_PAGES, true, NULL);
    write_mmapped(s, &at, 33 * PAGE_BYTES, 0, 0, -1);
    write_mmapped(s, &at, 40 * PAGE_BYTES, 48, 0, -1);
    write_mmapped(s, &at, 50 * PAGE_BYTES, 9 * PAGE_BYTES - 16, 0, cached);
    write_mmapped(s, &at, 40 * PAGE_BYTES, 0, 0, cached);
    if (s->options.chained)
        return;
    at += 3 * PAGE_BYTES; /* somebody else's */
    put(s, at - PAGE_BYTES + 8, 0x1234);
    write_mmapped(s, &at, 60 * PAGE_BYTES, 7 * PAGE_BYTES - 16, -20 * PAGE_BYTES, -1);
}

static void write_par(struct synthetic *s)
{
    const struct upstream *u = s->upstream;
    uint64_t max = s->options.tcache_max_bytes, chunk = u->tcache.slots_left ? max & ~15u : max + 8;
    uint64_t mmapped = s->mmapped_bytes + s->options.drift;

    put(s, s->mp, 131072);
    put(s, s->mp + 8, 131072);
    put(s, s->mp + 16, 131072);
    put(s, s->mp + 24, 8);
    if (u->malloc_par.thp_mode)
        put_u32(s, s->mp + u->malloc_par.thp_mode, 3);
    if (u->malloc_par.hp_pagesize)
        put(s, s->mp + u->malloc_par.hp_pagesize, s->options.hp_pagesize);
    put_u32(s, s->mp + u->malloc_par.n_mmaps, (uint32_t)s->mmapped_count);
    put_u32(s, s->mp + u->malloc_par.n_mmaps_max, 65536);
    put_u32(s, s->mp + u->malloc_par.max_n_mmaps, (uint32_t)s->mmapped_count + 2);
    put_u32(s, s->mp + u->malloc_par.no_dyn_threshold, 1);
    put(s, s->mp + u->malloc_par.mmapped_mem, mmapped);
    put(s, s->mp + u->malloc_par.max_mmapped_mem, mmapped + 300000);
    put(s, s->mp + u->malloc_par.sbrk_base, MAIN_HEAP + 8);
    put(s, s->mp + u->malloc_par.tcache_bins, max >= 1032 ? 64 : chunk / 16 - 1);
    put(s, s->mp + u->malloc_par.tcache_max_bytes, max);
    put(s, s->mp + u->malloc_par.tcache_count, s->options.tcache_count);
    put(s, s->mp + u->malloc_par.bytes, 1); /* obstack_exit_failure */
}

static void write_arenas(struct synthetic *s)
{
    const struct upstream *u = s->upstream;

    for (size_t i = 0; i < 2; i++) {
        const struct synthetic_arena *arena = &s->arenas[i];

        put_u32(s, arena->address + 4, arena->main ? 0 : 2);
        put(s, arena->address + u->malloc_state.top, arena->top);
        put(s, arena->address + u->malloc_state.next, s->arenas[1 - i].address);
        put(s, arena->address + u->malloc_state.attached_threads, 1);
        put(s, arena->address + u->malloc_state.system_mem, arena->system_mem);
        put(s, arena->address + u->malloc_state.system_mem + 8, arena->system_mem);
        for (size_t k = 0; u->malloc_state.fastbins_y && k < 10; k++)
            put(s, arena->address + u->malloc_state.fastbins_y + 8 * k, arena->fastbins[k]);
    }
}

static void write_tcaches(struct synthetic *s)
{
    const struct upstream *u = s->upstream;

    for (size_t t = 0; t < SYNTHETIC_THREADS; t++) {
        const struct synthetic_tcache *tcache = &s->tcaches[t];
        remote_addr none = u->has_dummy_tcache ? LIBC_CONSTANTS + 0x40 : 0;
        uint8_t *bytes;

        s->threads[t].thread_pointer = THREAD_BLOCKS + (t + 1) * 4 * PAGE_BYTES - 0x100;
        put(s, s->threads[t].thread_pointer + TCACHE_OFFSET,
            tcache->address ? tcache->address : none);
        put(s, s->threads[t].thread_pointer + THREAD_ARENA_OFFSET, s->arenas[t % 2].address);
        if (!tcache->address)
            continue;
        bytes = (uint8_t *)synthetic_word(s, tcache->address);
        memset(bytes, 0, u->tcache.bytes);
        for (size_t bin = 0; bin < u->tcache.bins; bin++) {
            unsigned count = tcache->counts[bin];

            if (u->tcache.slots_left)
                count = (unsigned)s->options.tcache_count - count;
            memcpy(bytes + u->tcache.count_bytes * bin, &count, u->tcache.count_bytes);
            memcpy(bytes + u->tcache.entries + 8 * bin, &tcache->entries[bin], 8);
        }
    }
}

static int by_start(const void *a, const void *b)
{
    const struct vma *x = a, *y = b;

    return (x->range.start > y->range.start) - (x->range.start < y->range.start);
}

static void finish_view(struct synthetic *s)
{
    qsort(s->vmas, s->maps.count, sizeof *s->vmas, by_start);
    s->maps.items = s->vmas;
    fake_memory_init(&s->memory, s->extents, s->extent_count);
    s->view = (struct heap_view){.memory = &s->memory.memory,
                                 .maps = &s->maps,
                                 .threads = s->threads,
                                 .thread_count = SYNTHETIC_THREADS};
}

static void set_options(struct synthetic *s, struct synthetic_options options)
{
    s->options = options;
    if (!options.tcache_max_bytes)
        s->options.tcache_max_bytes = s->upstream->tcache_max_bytes;
    if (!options.tcache_count)
        s->options.tcache_count = s->upstream->tcache_count;
    if (!options.heap_reserve)
        s->options.heap_reserve = UINT64_C(64) << 20;
}

void synthetic_build(struct synthetic *s, const struct upstream *upstream,
                     struct synthetic_options options)
{
    *s = (struct synthetic){.upstream = upstream, .seed = 11, .mp = LIBC_DATA + MP_AT};
    s->chunks = calloc(SYNTHETIC_CHUNKS, sizeof *s->chunks);
    if (!s->chunks)
        abort();
    set_options(s, options);
    map(s, LIBC_CONSTANTS, 1, false, "/lib/libc.so.6");
    map(s, LIBC_DATA, DATA_PAGES, true, "/lib/libc.so.6");
    map(s, THREAD_BLOCKS, THREAD_BLOCK_PAGES, true, NULL);
    build_heap(s, FIRST_HEAP, HEAP_PAGES);
    build_heap(s, SECOND_HEAP, HEAP_PAGES);
    s->arenas[0] = (struct synthetic_arena){.address = LIBC_DATA + MAIN_ARENA_AT, .main = true};
    s->arenas[1].address = FIRST_HEAP + upstream->heap_info_bytes;
    for (size_t i = 0; i < 2; i++)
        start_bins(s, &s->arenas[i]);
    build_main(s);
    build_thread_arena(s);
    build_mappings(s);
    write_par(s);
    write_arenas(s);
    write_tcaches(s);
    finish_view(s);
}

void synthetic_free(struct synthetic *s)
{
    for (size_t i = 0; i < s->extent_count; i++)
        free(s->extents[i].bytes);
    free(s->chunks);
}
