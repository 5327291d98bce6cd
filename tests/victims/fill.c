/*
 * A heap of a given size without a book, for measuring: "fill KIND:MIB" with KIND 64, 64-merged,
 * 1024 or mixed. All of it is written, then every second block (at random) is freed. Freed blocks
 * of 64 bytes stay in a fastbin, one list through all of the heap, until a larger allocation has
 * them merged.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "factories.h"
#include "say.h"

struct link {
    struct link *next;
};

static size_t size_of_kind(const char *kind, struct numbers *numbers)
{
    if (strncmp(kind, "mixed", 5) == 0)
        return number_by_doublings(numbers, 16, 65536);
    return (size_t)atoi(kind);
}

static void free_half(struct link *list, struct numbers *numbers)
{
    while (list) {
        struct link *next = list->next;

        if (number_below(numbers, 2))
            free(list);
        list = next;
    }
}

void build_fill(const char *argument)
{
    struct numbers numbers = numbers_for(0);
    const char *colon = argument ? strchr(argument, ':') : NULL;
    size_t wanted = colon ? strtoul(colon + 1, NULL, 10) << 20 : 0, taken = 0;
    struct link *list = NULL;

    if (wanted == 0 || size_of_kind(argument, &numbers) < sizeof *list)
        fail("fill takes KIND:MIB, where KIND is 64, 64-merged, 1024 or mixed");
    while (taken < wanted) {
        size_t size = size_of_kind(argument, &numbers);
        struct link *block = malloc(size);

        if (!block)
            fail("%zu bytes could not be allocated", size);
        memset(block, 0x5a, size);
        block->next = list;
        list = block;
        taken += malloc_usable_size(block) + 8;
    }
    free_half(list, &numbers);
    if (strstr(argument, "merged"))
        free(malloc(70000));
}
