#include "heap/hints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "mem/window.h"

enum { HINT_BYTES = HINT_WORDS * 8, PIECES = 1024 };

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

/* The items of one batch of pieces, in the same order. */
static int gather(struct read_hints *hints, const size_t *which, struct memory_piece *pieces,
                  size_t count, struct memory *memory, struct why *why)
{
    int r = count ? memory_gather(memory, pieces, count, why) : 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        hints->items[which[i]].ok = pieces[i].ok;
    return r;
}

int read_hints_load(struct read_hints *hints, struct memory *memory, struct why *why)
{
    struct memory_piece pieces[PIECES];
    size_t which[PIECES], count = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < hints->count; i++) {
        struct read_hint *hint = &hints->items[i];

        hint->ok = false;
        if (!page_is_resident(hint->flags))
            continue;
        which[count] = i;
        pieces[count++] = (struct memory_piece){.address = hint->address,
                                                .length = HINT_BYTES,
                                                .exclusive = hint->flags & PAGE_EXCLUSIVE,
                                                .to = hints->words[i]};
        if (count < PIECES)
            continue;
        r = gather(hints, which, pieces, count, memory, why);
        count = 0;
    }
    return r ? r : gather(hints, which, pieces, count, memory, why);
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
    int r = vector_push(&hints->met, address);

    if (r)
        return r;
    if (!hint || !hint->ok)
        return memory_read(memory, address, ret_words, count * sizeof *ret_words, why);
    memcpy(ret_words, hints->words[hint - hints->items], count * sizeof *ret_words);
    return 0;
}
