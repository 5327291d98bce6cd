/*
 * "fill KIND:MIB[:THREADS]". KIND is the size of the chunks, as in 64 and 1024, or mixed (16 bytes
 * to 64 KiB); then words, each behind a "-":
 *
 *   alternate  every second block is freed, not every second by chance
 *   shuffled   they are freed in random order: a list of them leads all over the heap
 *   merged     freed blocks that are small enough for fastbins are merged afterwards
 *
 * THREADS build a share each, in arenas of their own (MALLOC_ARENA_MAX=1: in one); without them the
 * main thread does, and the process never has another.
 */
#include "fill.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "factories.h"
#include "say.h"

static struct {
    size_t chunk_bytes; /* 0: mixed */
    bool alternate, shuffled, merged;
} kind;

static struct worker workers[BOOKS];

struct worker *fill_worker(unsigned index)
{
    return &workers[index];
}

static size_t content_bytes(struct link *block)
{
    return malloc_usable_size(block) - sizeof *block;
}

/* Bytes of the chunks of all blocks, and the least and the most they were since somebody asked. */
static atomic_long live_bytes, least_bytes, most_bytes;

static void count(const struct link *block, int sign)
{
    long bytes = sign * (long)(malloc_usable_size((void *)block) + sizeof(size_t));
    long now = atomic_fetch_add(&live_bytes, bytes) + bytes;
    long least = atomic_load(&least_bytes), most = atomic_load(&most_bytes);

    while (now < least && !atomic_compare_exchange_weak(&least_bytes, &least, now))
        ;
    while (now > most && !atomic_compare_exchange_weak(&most_bytes, &most, now))
        ;
}

void fill_live(long *ret_least, long *ret_most)
{
    *ret_least = atomic_exchange(&least_bytes, atomic_load(&live_bytes));
    *ret_most = atomic_exchange(&most_bytes, atomic_load(&live_bytes));
}

struct link *fill_take(struct worker *worker)
{
    size_t size = kind.chunk_bytes ? kind.chunk_bytes - sizeof(size_t)
                                   : number_by_doublings(&worker->numbers, 16, 65536);
    struct link *block = malloc(size);

    if (!block)
        fail("%zu bytes could not be allocated", size);
    count(block, 1);
    block->next = NULL;
    pattern_fill((unsigned char *)(block + 1), content_bytes(block));
    return block;
}

static bool holds(struct link *block)
{
    return pattern_holds((unsigned char *)(block + 1), content_bytes(block));
}

void fill_drop(struct link *block)
{
    if (!holds(block))
        fail("WRONG %p", (void *)block);
    count(block, -1);
    free(block);
}

/* Each second block to `doomed`, and of the others some from everywhere to the slots. The number of
 * the doomed. */
static size_t split(struct worker *worker, struct link **doomed)
{
    size_t stride = worker->lasting_count / 2 / SLOTS + 1, kept = 0, freed = 0;
    struct link *list = worker->lasting;

    worker->lasting = NULL;
    for (size_t i = 0; list; i++) {
        struct link *block = list;

        list = block->next;
        if (kind.alternate ? i % 2 : number_below(&worker->numbers, 2)) {
            doomed[freed++] = block;
        } else if (kept++ % stride == 0 && worker->slot_count < SLOTS) {
            atomic_store(&worker->slots[worker->slot_count++], block);
        } else {
            block->next = worker->lasting;
            worker->lasting = block;
        }
    }
    worker->lasting_count = kept - worker->slot_count;
    return freed;
}

static void shuffle(struct numbers *numbers, struct link **blocks, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = number_below(numbers, i);
        struct link *block = blocks[other];

        blocks[other] = blocks[i - 1];
        blocks[i - 1] = block;
    }
}

void fill_share(struct worker *worker, size_t bytes)
{
    worker->numbers = numbers_for((unsigned)(worker - workers));
    for (size_t taken = 0; taken < bytes; worker->lasting_count++) {
        struct link *block = fill_take(worker);

        block->next = worker->lasting;
        worker->lasting = block;
        taken += malloc_usable_size(block) + sizeof(size_t);
    }
}

void fill_free_half(struct worker *worker)
{
    size_t bytes = worker->lasting_count * sizeof(struct link *) + 1, freed;
    struct link **doomed =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (doomed == MAP_FAILED)
        fail("%zu bytes could not be mapped", bytes);
    freed = split(worker, doomed);
    if (kind.shuffled)
        shuffle(&worker->numbers, doomed, freed);
    for (size_t i = 0; i < freed; i++)
        fill_drop(doomed[i]);
    munmap(doomed, bytes);
    if (kind.merged)
        free(malloc(70000)); /* a request this large has fastbins merged before it is served */
}

static const void *find_wrong_of(struct worker *worker)
{
    for (struct link *block = worker->lasting; block; block = block->next)
        if (!holds(block))
            return block;
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct link *block = atomic_load(&worker->slots[i]);

        if (block && !holds(block))
            return block;
    }
    return NULL;
}

const void *fill_find_wrong(void)
{
    const void *wrong = NULL;

    for (unsigned i = 0; i < busy_worker_count() && !wrong; i++)
        wrong = find_wrong_of(&workers[i]);
    return wrong;
}

static bool parse_kind(const char *text, size_t length)
{
    char words[64], *rest, *word;

    if (length >= sizeof words)
        return false;
    memcpy(words, text, length);
    words[length] = '\0';
    word = strtok_r(words, "-", &rest);
    if (!word)
        return false;
    kind.chunk_bytes = strtoul(word, NULL, 10);
    if (strcmp(word, "mixed") != 0 && (kind.chunk_bytes < 32 || kind.chunk_bytes % 16))
        return false;
    while ((word = strtok_r(NULL, "-", &rest)) != NULL) {
        bool *flag = strcmp(word, "alternate") == 0  ? &kind.alternate
                     : strcmp(word, "shuffled") == 0 ? &kind.shuffled
                     : strcmp(word, "merged") == 0   ? &kind.merged
                                                     : NULL;

        if (!flag)
            return false;
        *flag = true;
    }
    return true;
}

void build_fill(const char *argument)
{
    const char *mib = argument ? strchr(argument, ':') : NULL;
    char *end = NULL;
    size_t bytes = mib ? strtoul(mib + 1, &end, 10) << 20 : 0;
    unsigned long threads = bytes && *end == ':' ? strtoul(end + 1, NULL, 10) : 0;

    if (bytes == 0 || threads >= BOOKS || !parse_kind(argument, (size_t)(mib - argument)))
        fail("fill takes KIND:MIB[:THREADS], KIND as in 64, 1024-shuffled or mixed, at most %d "
             "THREADS",
             BOOKS - 1);
    busy_build((unsigned)threads, bytes);
}
