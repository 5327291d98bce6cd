/*
 * Threads that allocate and free at full speed and notice every byte that somebody else has
 * changed: each block is filled with the pattern of its address, and checked before it goes. With
 * one thread there are no threads at all, so that malloc leaves its locks out.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "factories.h"
#include "say.h"

enum { SLOTS = 512, KIB = 1024 };

static struct churner {
    struct numbers numbers;
    struct block blocks[SLOTS];
    atomic_ulong steps;
} churners[BOOKS];

static unsigned churner_count;

static size_t pick_size(struct numbers *numbers)
{
    size_t kind = number_below(numbers, 1000);

    if (kind < 5)
        return 129 * KIB + number_below(numbers, 200 * KIB); /* a mapping of its own, as a rule */
    if (kind < 100)
        return number_by_doublings(numbers, KIB, 32 * KIB);
    return 1 + number_below(numbers, KIB);
}

static void check(const struct block *block)
{
    if (!pattern_holds(block->address, block->filled))
        fail("WRONG %p, %zu bytes", (void *)block->address, block->requested);
}

static void check_zeros(const unsigned char *address, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (address[i])
            fail("WRONG %p: calloc handed out a byte that is not 0", (const void *)(address + i));
}

static void put(struct block *block, unsigned char *address, size_t size)
{
    if (!address)
        fail("%zu bytes could not be allocated", size);
    pattern_fill(address, size);
    *block = (struct block){.address = address, .requested = size, .filled = size};
}

/* What realloc keeps must be the pattern of the old address. */
static void resize(struct block *block, size_t size)
{
    static __thread unsigned char before[8];
    size_t kept = size < sizeof before ? size : sizeof before;
    unsigned char *address;

    if (kept > block->requested)
        kept = block->requested;
    memcpy(before, block->address, kept);
    address = realloc(block->address, size);
    if (address && memcmp(address, before, kept) != 0)
        fail("WRONG %p: realloc changed it", (void *)address);
    put(block, address, size);
}

static void step(struct churner *churner)
{
    struct block *block = &churner->blocks[number_below(&churner->numbers, SLOTS)];
    size_t size = pick_size(&churner->numbers), kind = number_below(&churner->numbers, 16);

    atomic_fetch_add(&churner->steps, 1);
    if (block->address)
        check(block);
    if (block->address && kind == 0) {
        resize(block, size);
        return;
    }
    free(block->address);
    if (kind > 1) {
        put(block, malloc(size), size);
        return;
    }
    block->address = calloc(1, size);
    if (block->address)
        check_zeros(block->address, size);
    put(block, block->address, size);
}

static void steps_without_threads(void)
{
    for (unsigned i = 0; i < 1000; i++)
        step(&churners[0]);
}

static atomic_uint begun;

static void churn_for_ever(unsigned thread)
{
    for (;;) {
        step(&churners[thread]);
        if (atomic_load(&churners[thread].steps) == 1)
            atomic_fetch_add(&begun, 1);
    }
}

unsigned long churn_steps(void)
{
    unsigned long sum = 0;

    for (unsigned i = 0; i < BOOKS; i++)
        sum += atomic_load(&churners[i].steps);
    return sum;
}

void build_churn(const char *argument)
{
    churner_count = argument ? (unsigned)atoi(argument) : 1;
    if (churner_count < 1 || churner_count >= BOOKS)
        fail("churn takes 1 to %d threads", BOOKS - 1);
    for (unsigned i = 0; i < BOOKS; i++)
        churners[i].numbers = numbers_for(i);
    if (churner_count == 1)
        idle_step = steps_without_threads;
    else
        start_threads(churner_count, churn_for_ever);
    while (churner_count > 1 && atomic_load(&begun) < churner_count)
        ;
}
