#include "heap/hints.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "mem/window.h"

enum { HINT_BYTES = HINT_WORDS * 8, PIECES = 1024, ONE_THREAD_MOST = 1024 };

void read_hints_free(struct read_hints *hints)
{
    free(hints->items);
    free(hints->words);
    free(hints->met.items);
    *hints = (struct read_hints){0};
}

static int by_address(const void *a, const void *b)
{
    remote_addr x = *(const remote_addr *)a, y = *(const remote_addr *)b;

    return x < y ? -1 : x > y;
}

/* In one page, so that a page that has gone is no other's trouble. */
static bool fits(remote_addr address)
{
    return address % PAGE_BYTES + HINT_BYTES <= PAGE_BYTES;
}

static int take_met(struct read_hints *hints)
{
    struct met_addresses *met = &hints->met;
    int r = 0;

    if (met->count)
        qsort(met->items, met->count, sizeof *met->items, by_address);
    hints->count = 0;
    for (size_t i = 0; r == 0 && i < met->count; i++)
        if (fits(met->items[i]) && (i == 0 || met->items[i] != met->items[i - 1]))
            r = vector_push(hints, ((struct read_hint){.address = met->items[i]}));
    met->count = 0;
    return r;
}

/* Room for what will be read, touched now: in a stop every fault counts. */
static int make_room(struct read_hints *hints)
{
    free(hints->words);
    hints->words = malloc((hints->count + 1) * sizeof *hints->words);
    if (!hints->words)
        return -ENOMEM;
    for (size_t i = 0; i < hints->count; i++) /* as many will be met again */
        if (read_hints_note(hints, 0))
            return -ENOMEM;
    hints->met.count = 0;
    memset(hints->words, 0xff, (hints->count + 1) * sizeof *hints->words);
    return 0;
}

static int look_up(struct read_hints *hints, struct memory *memory, struct why *why)
{
    uint8_t flags[WINDOW_PAGES];
    remote_addr window = 1; /* none */
    int r;

    for (size_t i = 0; i < hints->count; i++) {
        struct read_hint *hint = &hints->items[i];

        if (align_down(hint->address, WINDOW_BYTES) != window) {
            window = align_down(hint->address, WINDOW_BYTES);
            r = memory_page_flags(memory, window, WINDOW_PAGES, flags, why);
            if (r)
                return r;
        }
        hint->flags = flags[(hint->address - window) / PAGE_BYTES];
    }
    return 0;
}

int read_hints_refresh(struct read_hints *hints, struct memory *memory, struct why *why)
{
    int r = hints->met.count ? take_met(hints) : 0;

    if (r == 0)
        r = make_room(hints);
    return r ? r : look_up(hints, memory, why);
}

/* What one thread reads: items [first, end). */
struct loading {
    struct read_hints *hints;
    struct memory *memory;
    size_t first, end;
    struct memory_piece pieces[PIECES];
    size_t which[PIECES], count; /* pieces[i] is of items[which[i]] */
    int result;
};

static void gather(struct loading *loading)
{
    loading->result =
        loading->count ? memory_gather(loading->memory, loading->pieces, loading->count, NULL) : 0;
    for (size_t i = 0; loading->result == 0 && i < loading->count; i++)
        loading->hints->items[loading->which[i]].ok = loading->pieces[i].ok;
    loading->count = 0;
}

static void *load(void *context)
{
    struct loading *loading = context;

    for (size_t i = loading->first; loading->result == 0 && i < loading->end; i++) {
        struct read_hint *hint = &loading->hints->items[i];

        hint->ok = false;
        if (!page_is_resident(hint->flags))
            continue;
        loading->which[loading->count] = i;
        loading->pieces[loading->count++] =
            (struct memory_piece){.address = hint->address,
                                  .length = HINT_BYTES,
                                  .exclusive = hint->flags & PAGE_EXCLUSIVE,
                                  .to = loading->hints->words[i]};
        if (loading->count == PIECES)
            gather(loading);
    }
    if (loading->result == 0)
        gather(loading);
    return NULL;
}

int read_hints_load(struct read_hints *hints, struct memory *memory)
{
    size_t half = hints->count < ONE_THREAD_MOST ? hints->count : hints->count / 2;
    struct loading low = {.hints = hints, .memory = memory, .end = half};
    struct loading high = {.hints = hints, .memory = memory, .first = half, .end = hints->count};
    pthread_t helper;
    bool helped = half < hints->count && pthread_create(&helper, NULL, load, &high) == 0;

    load(&low);
    if (helped)
        pthread_join(helper, NULL);
    else
        load(&high);
    return low.result ? low.result : high.result;
}

int read_hints_note(struct read_hints *hints, remote_addr address)
{
    return vector_push(&hints->met, address);
}

static const struct read_hint *find(const struct read_hints *hints, remote_addr address)
{
    size_t low = 0, high = hints->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (hints->items[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < hints->count && hints->items[low].address == address ? &hints->items[low] : NULL;
}

int read_hinted(struct read_hints *hints, struct memory *memory, remote_addr address,
                uint64_t *ret_words, size_t count, struct why *why)
{
    const struct read_hint *hint = find(hints, address);
    int r = read_hints_note(hints, address);

    if (r)
        return r;
    if (!hint || !hint->ok)
        return memory_read(memory, address, ret_words, count * sizeof *ret_words, why);
    memcpy(ret_words, hints->words[hint - hints->items], count * sizeof *ret_words);
    return 0;
}
