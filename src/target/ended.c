#include "target/ended.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "mem/cache.h"
#include "target/descriptor.h"

enum {
    DESCRIPTOR_WORDS = 256,   /* the list and the id stand in its first 2 KiB */
    LEARNT_FROM = 16,         /* living threads that are asked */
    STACKS_MOST = 4096,       /* ended threads that are looked at */
    RING_MOST = 1 << 20,      /* threads of a process */
    SEARCH_BYTES = 16 * 1024, /* either side of a head: they are variables of one file */
    HEADS_TRIED = 256,
};

struct living {
    remote_addr descriptor;
    pid_t tid;
    bool met; /* in a ring that was followed */
};

struct search {
    struct memory *memory;
    struct memory_cache cache; /* of the same: every descriptor is looked at several times */
    const struct maps *maps;
    struct living *living; /* ascending by descriptor */
    size_t living_count;
    pid_t leader;
    size_t list; /* offset of the list in a descriptor; the id is behind it */
    struct addresses {
        remote_addr *items;
        size_t count, capacity;
    } heads;                 /* of rings that are done */
    remote_addr leader_head; /* of the ring that the leader is in; 0: not met */
    struct thread_stacks *stacks;
    size_t left; /* stacks that may still be added */
    struct why *why;
};

static int read_word(struct search *search, remote_addr address, uint64_t *ret)
{
    return memory_cache_read(&search->cache, address, ret, sizeof *ret, search->why);
}

/* A struct pthread says at its beginning where it is: tcb and self of its head. */
static int is_descriptor(struct search *search, remote_addr address)
{
    uint64_t words[3];
    int r;

    if (address % 16)
        return 0;
    r = memory_cache_read(&search->cache, address, words, sizeof words, search->why);
    if (r)
        return r < 0 ? r : 0;
    return words[0] == address && words[2] == address;
}

/* 1: what `node` links to links back. */
static int is_linked(struct search *search, remote_addr node, const uint64_t links[2])
{
    uint64_t back, forth;
    int r;

    if (links[0] % 8 || links[1] % 8)
        return 0;
    r = read_word(search, links[0] + 8, &back);
    if (r == 0)
        r = read_word(search, links[1], &forth);
    if (r)
        return r < 0 ? r : 0;
    return back == node && forth == node;
}

/* Clears those of `fits` that are no list followed by the thread's id. */
static int keep_fitting(struct search *search, const struct living *thread, bool *fits)
{
    uint64_t words[DESCRIPTOR_WORDS];
    int r = memory_cache_read(&search->cache, thread->descriptor, words, sizeof words, search->why);

    if (r) { /* the next page may not be there: nothing is learnt from this one */
        return r < 0 ? r : 0;
    }
    for (size_t i = 0; i + 2 < DESCRIPTOR_WORDS; i++) {
        if (!fits[i])
            continue;
        r = (pid_t)words[i + 2] == thread->tid
                ? is_linked(search, thread->descriptor + i * 8, &words[i])
                : 0;
        if (r < 0)
            return r;
        fits[i] = r;
    }
    return 1;
}

/* Threads made by a bare clone may share their maker's descriptor: whose id is in it? */
static bool is_shared(const struct search *search, size_t index)
{
    const struct living *living = &search->living[index];

    return (index && living[-1].descriptor == living->descriptor) ||
           (index + 1 < search->living_count && living[1].descriptor == living->descriptor);
}

/* 1: learnt; 0: not, or it could be in several places. */
static int learn_list(struct search *search)
{
    bool fits[DESCRIPTOR_WORDS];
    size_t asked = 0, places = 0;

    memset(fits, true, sizeof fits);
    for (size_t i = 0; i < search->living_count && asked < LEARNT_FROM; i++) {
        int r = is_shared(search, i) ? 0 : keep_fitting(search, &search->living[i], fits);

        if (r < 0)
            return r;
        asked += r == 1;
    }
    for (size_t i = 0; asked && i + 2 < DESCRIPTOR_WORDS; i++)
        if (fits[i]) {
            search->list = i * 8;
            places++;
        }
    return places == 1;
}

static struct living *living_at(const struct search *search, remote_addr descriptor)
{
    size_t low = 0, high = search->living_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (search->living[middle].descriptor < descriptor)
            low = middle + 1;
        else
            high = middle;
    }
    return low < search->living_count && search->living[low].descriptor == descriptor
               ? &search->living[low]
               : NULL;
}

/* Where variables can lie, and no stack is. */
static bool is_data(const struct search *search, remote_addr address)
{
    const struct vma *vma = maps_find(search->maps, address);

    if (!vma || !vma->writable || vma->shared)
        return false;
    return vma->inode != 0 || (vma > search->maps->items && vma[-1].inode != 0 &&
                               vma[-1].range.end == vma->range.start);
}

/* A ring from one of its members on. */
struct ring {
    remote_addr head; /* 0: none was met yet */
    bool has_leader;  /* it is the one of threads whose stacks are not glibc's */
    bool has_living;
    struct addresses ended; /* descriptors of ended threads */
};

/* 1: fits; 0: it is no ring of descriptors. */
static int take_member(struct search *search, struct ring *ring, remote_addr node)
{
    remote_addr descriptor = node - search->list;
    struct living *living = living_at(search, descriptor);
    uint64_t id = 1;
    int r;

    if (living) {
        living->met = true;
        ring->has_living = true;
        ring->has_leader |= living->tid == search->leader;
        return 1;
    }
    r = is_descriptor(search, descriptor);
    if (r < 0)
        return r;
    if (r == 0) { /* then it must be the head, and there is one */
        if (ring->head || !is_data(search, node))
            return 0;
        ring->head = node;
        return 1;
    }
    r = read_word(search, node + 16, &id);
    if (r)
        return r < 0 ? r : 0;
    if ((pid_t)id > 0) /* on its way in or out */
        return 1;
    r = vector_push(&ring->ended, descriptor);
    return r ? r : 1;
}

/* Follows it once around. 1: it is one, with a head. */
static int follow(struct search *search, remote_addr from, struct ring *ring)
{
    remote_addr node = from;

    for (size_t i = 0; i < RING_MOST; i++) {
        uint64_t links[2];
        int r = take_member(search, ring, node);

        if (r > 0)
            r = memory_cache_read(&search->cache, node, links, sizeof links, search->why) == 0
                    ? is_linked(search, node, links)
                    : 0;
        if (r <= 0)
            return r;
        node = links[0];
        if (node == from)
            return ring->head != 0;
    }
    return 0;
}

static bool is_done(const struct search *search, remote_addr head)
{
    for (size_t i = 0; i < search->heads.count; i++)
        if (search->heads.items[i] == head)
            return true;
    return false;
}

static int add_stack(struct search *search, remote_addr descriptor, bool joinable)
{
    struct thread_stack stack = {
        .sp = descriptor, .sp_inside = true, .ended = true, .not_joined = joinable};
    int r = descriptor_find_stack(search->memory, search->maps, descriptor, descriptor,
                                  &stack.range, search->why);

    if (r || search->left == 0 || !range_has(stack.range, descriptor))
        return r < 0 ? r : 0;
    search->left--;
    return vector_push(search->stacks, stack);
}

/*
 * Whether it is the ring of threads that nobody has joined or detached (_dl_stack_used): one of
 * them lives, or its head stands where it does since 2.33 (_rtld_global, 1daccf403b), before that
 * of the leader's ring. Of older ones without a living thread it is not known.
 */
static bool is_of_joinable(const struct search *search, const struct ring *ring)
{
    return ring->has_living || ring->head + 16 == search->leader_head;
}

/* A ring that is proven. Stacks that are not glibc's may be anything to the program. */
static int take_ring(struct search *search, const struct ring *ring)
{
    int r = vector_push(&search->heads, ring->head);

    if (ring->has_leader)
        search->leader_head = ring->head;
    for (size_t i = 0; r == 0 && !ring->has_leader && i < ring->ended.count; i++)
        r = add_stack(search, ring->ended.items[i], is_of_joinable(search, ring));
    return r;
}

static int try_ring(struct search *search, remote_addr from)
{
    struct ring ring = {0};
    int r = follow(search, from, &ring);

    if (r > 0 && !is_done(search, ring.head))
        r = take_ring(search, &ring);
    free(ring.ended.items);
    return r < 0 ? r : 0;
}

static int try_living(struct search *search)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < search->living_count; i++)
        if (search->living[i].tid == search->leader)
            r = try_ring(search, search->living[i].descriptor + search->list);
    for (size_t i = 0; r == 0 && i < search->living_count && i < LEARNT_FROM; i++)
        if (!search->living[i].met)
            r = try_ring(search, search->living[i].descriptor + search->list);
    return r;
}

/* Whether the words at `node` can be the head of a ring of descriptors: judged by its first member.
 */
static int may_be_head(struct search *search, remote_addr node, const uint64_t links[2])
{
    const struct vma *vma = maps_find(search->maps, links[0]);
    int r;

    if (links[0] == node || !vma || !vma_is_anonymous(vma) || !vma->writable)
        return 0;
    r = is_linked(search, node, links);
    return r > 0 ? is_descriptor(search, links[0] - search->list) : r;
}

/* Around a head, in the pages of its mapping that can be read. */
static int search_heads(struct search *search, remote_addr around)
{
    enum { WORDS = PAGE_BYTES / 8 };
    remote_addr from = align_down(around - SEARCH_BYTES, PAGE_BYTES);
    uint64_t words[WORDS];
    size_t tried = 0;
    int r = 0;

    for (remote_addr page = from; r >= 0 && page < around + SEARCH_BYTES; page += PAGE_BYTES) {
        if (!is_data(search, page))
            continue;
        r = memory_cache_read(&search->cache, page, words, sizeof words, search->why);
        for (size_t i = 0; r == 0 && i + 1 < WORDS && tried < HEADS_TRIED; i++) {
            if (is_done(search, page + i * 8) || !maps_find(search->maps, words[i]))
                continue;
            r = may_be_head(search, page + i * 8, &words[i]);
            tried += r > 0;
            if (r > 0)
                r = try_ring(search, page + i * 8);
        }
        r = r > 0 ? 0 : r;
    }
    return r;
}

static int by_descriptor(const void *a, const void *b)
{
    remote_addr x = ((const struct living *)a)->descriptor;
    remote_addr y = ((const struct living *)b)->descriptor;

    return (x > y) - (x < y);
}

/* The living threads that have a descriptor; threads made by a bare clone may share one or have
 * none. */
static int list_living(struct search *search, const struct ended_view *view)
{
    search->living = calloc(view->thread_count + 1, sizeof *search->living);
    if (!search->living)
        return -ENOMEM;
    for (size_t i = 0; i < view->thread_count; i++) {
        const struct target_thread *thread = &view->threads[i];
        int r = thread->has_registers ? is_descriptor(search, thread->registers.fs_base) : 0;

        if (r < 0)
            return r;
        if (r > 0)
            search->living[search->living_count++] =
                (struct living){thread->registers.fs_base, thread->tid};
    }
    qsort(search->living, search->living_count, sizeof *search->living, by_descriptor);
    return 0;
}

static int find_all(struct search *search, const struct ended_view *view)
{
    int r = list_living(search, view);

    if (r == 0)
        r = learn_list(search);
    if (r <= 0)
        return r;
    r = try_living(search);
    for (size_t i = 0, known = search->heads.count; r == 0 && i < known; i++)
        r = search_heads(search, search->heads.items[i]);
    return r;
}

int ended_stacks_find(const struct ended_view *view, struct thread_stacks *stacks, struct why *why)
{
    struct search search = {.memory = view->memory,
                            .maps = view->maps,
                            .leader = view->leader,
                            .stacks = stacks,
                            .left = STACKS_MOST,
                            .why = why};
    int r = memory_cache_open(&search.cache, view->memory, NULL);

    if (r)
        return r;
    r = find_all(&search, view);
    memory_cache_close(&search.cache);
    free(search.living);
    free(search.heads.items);
    return r;
}
