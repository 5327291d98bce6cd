#include "heap/heap.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stdio.h>

#include "base/vector.h"
#include "heap/glibc/glibc.h"

const struct allocator *const allocators[] = {&glibc_allocator, NULL};

void heap_refuse(struct heap *heap, const struct why *reason, const char *what_format, ...)
{
    struct heap_refusal refusal = {.reason = *reason};
    va_list args;
    int r;

    va_start(args, what_format);
    vsnprintf(refusal.what, sizeof refusal.what, what_format, args);
    va_end(args);
    r = vector_push(&heap->refusals, refusal);
    (void)r;
}

size_t free_chunks_above(const struct free_chunks *chunks, remote_addr address)
{
    size_t low = 0, high = chunks->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (chunks->items[middle].address + chunks->items[middle].bytes > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void heap_memo_forget(struct heap_memo *memo)
{
    free(memo->mmapped);
    cache_room_free(&memo->room);
    *memo = (struct heap_memo){0};
}
