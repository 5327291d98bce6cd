/*
 * The blocks a victim holds, kept outside of the heap, so that what a test learns from the victim and what it learns
 * from residue have nothing in common.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOOKS = 32, BOOK_BLOCKS = 262144 };

struct block {
    unsigned char *address; /* NULL: freed */
    size_t requested;
    size_t filled;          /* bytes from the start that hold the pattern */
};

struct book {
    struct block *blocks;
    size_t count;
};

/* Numbers that are the same at every run. */
struct numbers {
    uint64_t state;
};

struct numbers numbers_for(unsigned seed);
size_t number_below(struct numbers *numbers, size_t below);
/* Between the two, small ones more often: each doubling is equally likely. Both are powers of two. */
size_t number_by_doublings(struct numbers *numbers, size_t low, size_t high);

/* Every thread that allocates has a book of its own. */
struct book *book_of(unsigned thread);

/* Allocate, fill with the pattern of the address, and enter; alignment 0 for malloc. Exit when memory is short. */
void book_take(struct book *book, size_t alignment, size_t size);
/* The same for what was allocated elsewhere, and will not be dropped. */
void book_enter(struct book *book, unsigned char *address, size_t size);
/* Touches only the first `filled` bytes. */
void book_take_sparse(struct book *book, size_t size, size_t filled);
/* Checks, reallocates, checks what was kept, and fills anew. */
void book_resize(struct book *book, size_t index, size_t size);
/* Checks and frees; does nothing when it is freed already. */
void book_drop(struct book *book, size_t index);
void book_drop_percent(struct book *book, unsigned percent, struct numbers *numbers);

/* The pattern of an address, over `length` bytes. */
void pattern_fill(unsigned char *address, size_t length);
bool pattern_holds(const unsigned char *address, size_t length);

/* The first block whose bytes are wrong, or NULL. */
const struct block *books_find_wrong(void);
/* Writes address, requested and usable size of every live block, 64-bit each. The number of blocks, or -1. */
long books_write(const char *path);
