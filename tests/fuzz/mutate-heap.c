/* Mutates inputs of heap.c by what they mean: a list of edits, most of which stay as they are. */
#include <stddef.h>
#include <string.h>

#include "heap.h"
#include "process.h"

enum { EDITS_MOST = 60 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static unsigned state;

static unsigned random_below(unsigned limit)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)state >> 8) * limit >> 24);
}

/* What hurts decoders: sizes, small counts, extremes, bits. */
static uint64_t random_value(void)
{
    switch (random_below(8)) {
    case 0:
        return random_below(4);
    case 1:
        return 16u * random_below(256) + random_below(8);
    case 2:
        return UINT64_C(1) << random_below(64);
    case 3:
        return UINT64_MAX - random_below(64);
    case 4:
        return -16 * (uint64_t)random_below(64);
    case 5:
        return PAGE_BYTES * random_below(64) + random_below(2);
    case 6:
        return random_below(1u << 16); /* an index */
    default:
        return (uint64_t)random_below(1u << 24) << random_below(40);
    }
}

static void random_edit(struct fuzz_edit *edit)
{
    uint64_t value = random_value();

    edit->kind = (uint8_t)random_below(FUZZ_EDITS);
    edit->how = (uint8_t)(random_below(4) ? random_below(128) : random_below(256));
    edit->where = (uint16_t)random_below(1u << 16);
    memcpy(edit->value, &value, sizeof value);
}

static void change_edit(struct fuzz_edit *edit)
{
    uint64_t value = random_value(), old;

    switch (random_below(6)) {
    case 0:
        edit->where = (uint16_t)random_below(1u << 16);
        return;
    case 1:
        edit->where = (uint16_t)(edit->where + random_below(9) - 4);
        return;
    case 2:
        edit->how = (uint8_t)random_below(256);
        return;
    case 3:
        edit->kind = (uint8_t)random_below(FUZZ_EDITS);
        return;
    case 4:
        memcpy(&old, edit->value, sizeof old);
        value = old + value;
        break;
    }
    memcpy(edit->value, &value, sizeof value);
}

struct parts {
    struct heap_input head;
    struct fuzz_edit edits[EDITS_MOST];
    unsigned count;
    const uint8_t *fill;
    size_t fill_size;
};

static void take_apart(struct parts *parts, const uint8_t *data, size_t size)
{
    memset(parts, 0, sizeof *parts);
    if (size < sizeof parts->head)
        return;
    memcpy(&parts->head, data, sizeof parts->head);
    parts->head.process %= FUZZ_PROCESSES;
    data += sizeof parts->head;
    size -= sizeof parts->head;
    while (parts->count < parts->head.edits && parts->count < EDITS_MOST &&
           size >= sizeof *parts->edits) {
        memcpy(&parts->edits[parts->count++], data, sizeof *parts->edits);
        data += sizeof *parts->edits;
        size -= sizeof *parts->edits;
    }
    parts->fill = data;
    parts->fill_size = size;
}

static void change_list(struct parts *parts)
{
    unsigned at = random_below(parts->count + 1);

    if (parts->count == 0 || (random_below(3) == 0 && parts->count < EDITS_MOST)) {
        memmove(&parts->edits[at + 1], &parts->edits[at],
                (parts->count - at) * sizeof *parts->edits);
        if (at < parts->count && random_below(3) == 0)
            change_edit(&parts->edits[at]); /* a copy of the one behind it, changed */
        else
            random_edit(&parts->edits[at]);
        parts->count++;
        return;
    }
    at = random_below(parts->count);
    if (random_below(4)) {
        change_edit(&parts->edits[at]);
        return;
    }
    memmove(&parts->edits[at], &parts->edits[at + 1],
            (parts->count - at - 1) * sizeof *parts->edits);
    parts->count--;
}

static void change_head(struct heap_input *head)
{
    switch (random_below(5)) {
    case 0:
        head->process = (uint8_t)random_below(FUZZ_PROCESSES);
        break;
    case 1:
        head->flags ^= (uint8_t)(1u << random_below(4));
        break;
    case 2:
        head->fill_page = (uint8_t)random_below(32);
        break;
    case 3:
        head->fill_offset = (uint8_t)random_below(256);
        break;
    case 4:
        head->later = (uint8_t)random_below(8);
        break;
    }
}

static size_t put_together(const struct parts *parts, uint8_t *data, size_t max_size,
                           bool change_fill)
{
    static uint8_t fill[4096];
    size_t used = sizeof parts->head + parts->count * sizeof *parts->edits;
    size_t fill_size = parts->fill_size < sizeof fill ? parts->fill_size : sizeof fill;

    if (fill_size)
        memcpy(fill, parts->fill, fill_size);
    if (used + fill_size > max_size)
        fill_size = max_size - used;
    memcpy(data, &parts->head, sizeof parts->head);
    data[offsetof(struct heap_input, edits)] = (uint8_t)parts->count;
    memcpy(data + sizeof parts->head, parts->edits, parts->count * sizeof *parts->edits);
    memcpy(data + used, fill, fill_size);
    if (change_fill && used < max_size)
        fill_size = LLVMFuzzerMutate(data + used, fill_size, max_size - used);
    return used + fill_size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct parts parts;
    bool change_fill;

    state = seed;
    if (max_size < sizeof parts.head + sizeof parts.edits || random_below(32) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    take_apart(&parts, data, size);
    change_fill = random_below(8) == 0;
    if (!change_fill && random_below(16) == 0)
        change_head(&parts.head);
    else if (!change_fill)
        for (unsigned i = 1 + random_below(3); i > 0; i--)
            change_list(&parts);
    return put_together(&parts, data, max_size, change_fill);
}
