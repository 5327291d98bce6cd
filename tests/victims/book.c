#include "book.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

static struct block pool[BOOKS][BOOK_BLOCKS];
static struct book books[BOOKS];

struct numbers numbers_for(unsigned seed)
{
    return (struct numbers){UINT64_C(0x9e3779b97f4a7c15) * (seed + 1)};
}

/* xorshift64* */
static uint64_t number(struct numbers *numbers)
{
    numbers->state ^= numbers->state >> 12;
    numbers->state ^= numbers->state << 25;
    numbers->state ^= numbers->state >> 27;
    return numbers->state * UINT64_C(0x2545f4914f6cdd1d);
}

size_t number_below(struct numbers *numbers, size_t below)
{
    return (number(numbers) >> 11) % below;
}

size_t number_by_doublings(struct numbers *numbers, size_t low, size_t high)
{
    unsigned doublings = 0;

    while (low << doublings < high)
        doublings++;
    low <<= number_below(numbers, doublings);
    return low + number_below(numbers, low);
}

struct book *book_of(unsigned thread)
{
    if (thread >= BOOKS)
        fail("there is no book for thread %u", thread);
    books[thread].blocks = pool[thread];
    return &books[thread];
}

static void enter(struct book *book, struct block block)
{
    if (!block.address)
        fail("%zu bytes could not be allocated", block.requested);
    if (book->count == BOOK_BLOCKS)
        fail("a book is full");
    pattern_fill(block.address, block.filled);
    book->blocks[book->count++] = block;
}

void book_take(struct book *book, size_t alignment, size_t size)
{
    unsigned char *address = alignment ? memalign(alignment, size) : malloc(size);

    enter(book, (struct block){.address = address, .requested = size, .filled = size});
}

void book_enter(struct book *book, unsigned char *address, size_t size)
{
    enter(book, (struct block){.address = address, .requested = size, .filled = size});
}

void book_take_sparse(struct book *book, size_t size, size_t filled)
{
    enter(book, (struct block){.address = malloc(size), .requested = size, .filled = filled});
}

void book_drop(struct book *book, size_t index)
{
    struct block *block = &book->blocks[index];

    if (!block->address)
        return;
    if (!pattern_holds(block->address, block->filled))
        fail("WRONG %p", (void *)block->address);
    free(block->address);
    block->address = NULL;
}

void book_drop_percent(struct book *book, unsigned percent, struct numbers *numbers)
{
    for (size_t i = 0; i < book->count; i++)
        if (number_below(numbers, 100) < percent)
            book_drop(book, i);
}

static uint64_t pattern_at(uintptr_t address)
{
    return (address ^ (address >> 7)) * UINT64_C(0xbf58476d1ce4e5b9);
}

void pattern_fill(unsigned char *address, size_t length)
{
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = pattern_at((uintptr_t)address + at);

        memcpy(address + at, &word, length - at < 8 ? length - at : 8);
    }
}

static bool pattern_is_of(const unsigned char *address, uintptr_t where, size_t length)
{
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = pattern_at(where + at);

        if (memcmp(address + at, &word, length - at < 8 ? length - at : 8) != 0)
            return false;
    }
    return true;
}

bool pattern_holds(const unsigned char *address, size_t length)
{
    return pattern_is_of(address, (uintptr_t)address, length);
}

/* The pattern is one of addresses: what is kept is compared with what stood where the block was. */
void book_resize(struct book *book, size_t index, size_t size)
{
    struct block *block = &book->blocks[index];
    size_t kept = size < block->filled ? size : block->filled;
    uintptr_t old = (uintptr_t)block->address;

    if (!pattern_holds(block->address, block->filled))
        fail("WRONG %p", (void *)block->address);
    block->address = realloc(block->address, size);
    if (!block->address)
        fail("%zu bytes could not be allocated", size);
    if (!pattern_is_of(block->address, old, kept))
        fail("WRONG %p", (void *)block->address);
    pattern_fill(block->address, size);
    block->requested = block->filled = size;
}

const struct block *books_find_wrong(void)
{
    for (unsigned b = 0; b < BOOKS; b++) {
        for (size_t i = 0; i < books[b].count; i++) {
            const struct block *block = &books[b].blocks[i];

            if (block->address && !pattern_holds(block->address, block->filled))
                return block;
        }
    }
    return NULL;
}

static uint64_t records[3 * 1024];

static bool write_records(int fd, size_t *used)
{
    size_t bytes = *used * sizeof records[0];

    *used = 0;
    return write(fd, records, bytes) == (ssize_t)bytes;
}

static long write_book(int fd, const struct book *book)
{
    size_t used = 0;
    long live = 0;

    for (size_t i = 0; i < book->count; i++) {
        struct block block = book->blocks[i];

        if (!block.address)
            continue;
        records[used++] = (uintptr_t)block.address;
        records[used++] = block.requested;
        records[used++] = malloc_usable_size(block.address);
        live++;
        if (used == sizeof records / sizeof records[0] && !write_records(fd, &used))
            return -1;
    }
    return write_records(fd, &used) ? live : -1;
}

long books_write(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    long all = 0;

    for (unsigned b = 0; b < BOOKS && fd >= 0 && all >= 0; b++) {
        long live = write_book(fd, &books[b]);

        all = live < 0 ? live : all + live;
    }
    if (fd < 0 || close(fd))
        return -1;
    return all;
}
