#include "target/descriptor.h"

#include <inttypes.h>

/* struct pthread is 0x900 bytes in 2.36; more than a page it never was, and TLS alignment may move
 * it down. */
enum { WORDS = PAGE_BYTES / sizeof(uint64_t), NEAR_END = 64 * 1024, MOST_MAPPINGS = 256 };

struct words {
    uint64_t value[WORDS];
    bool known[WORDS];
};

struct thread_pointers {
    remote_addr thread_pointer, sp;
};

/* Page by page: what follows the descriptor may not be mapped. */
static int read_words(struct memory *memory, remote_addr from, struct words *words, struct why *why)
{
    size_t i = 0;

    while (i < WORDS) {
        size_t count = (PAGE_BYTES - (from + i * 8) % PAGE_BYTES) / 8;
        int r;

        if (count > WORDS - i)
            count = WORDS - i;
        r = memory_read(memory, from + i * 8, &words->value[i], count * 8, why);
        if (r < 0)
            return r;
        for (size_t end = i + count; i < end; i++)
            words->known[i] = r == 0;
    }
    return 0;
}

static bool is_mapped(const struct maps *maps, struct range block, remote_addr writable_from)
{
    size_t i = maps_index_above(maps, block.start), last = i + MOST_MAPPINGS;
    remote_addr at = block.start;

    for (; i < maps->count && i < last && at < block.end; i++) {
        const struct vma *vma = &maps->items[i];

        if (vma->range.start > at || (vma->range.end > writable_from && !vma->writable))
            return false;
        at = vma->range.end;
    }
    return at >= block.end;
}

static bool belongs_to(struct range block, const struct thread_pointers *thread)
{
    if (range_has(block, thread->thread_pointer))
        return block.end - thread->thread_pointer <= NEAR_END;
    return range_has(block, thread->sp);
}

/* Whether the four words from `word` on describe this thread's stack. */
static bool fits(const uint64_t *word, const struct thread_pointers *thread,
                 const struct maps *maps, struct range *ret)
{
    uint64_t start = word[0], size = word[1], guard = word[2], reported = word[3];
    struct range block = {start, start + size};

    if (start == 0 || block.end < start || guard >= size || size - guard < PAGE_BYTES)
        return false;
    if (guard % PAGE_BYTES || reported % PAGE_BYTES || reported > guard)
        return false;
    if (guard && start % PAGE_BYTES)
        return false;
    if (!belongs_to(block, thread) || !is_mapped(maps, block, start + guard))
        return false;
    *ret = (struct range){start + guard, block.end};
    return true;
}

int descriptor_find_stack(struct memory *memory, const struct maps *maps,
                          remote_addr thread_pointer, remote_addr sp, struct range *ret,
                          struct why *why)
{
    const struct thread_pointers thread = {thread_pointer, sp};
    struct range found = {0, 0};
    struct words words;
    unsigned matches = 0;
    int r;

    if (thread_pointer % 8 || !maps_find(maps, thread_pointer))
        return why_set(why, OUTCOME_NOT_FOUND, "0x%" PRIx64 " is no thread pointer",
                       thread_pointer);
    r = read_words(memory, thread_pointer, &words, why);
    if (r)
        return r;
    for (size_t i = 0; i + 4 <= WORDS; i++) {
        const bool *known = &words.known[i];

        if (known[0] && known[1] && known[2] && known[3])
            matches += fits(&words.value[i], &thread, maps, &found);
    }
    if (matches != 1)
        return why_set(why, OUTCOME_NOT_FOUND,
                       "the thread descriptor at 0x%" PRIx64 " has %u places that could tell the "
                       "stack, not one",
                       thread_pointer, matches);
    *ret = found;
    return 0;
}
