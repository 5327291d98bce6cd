/* Heaps for what settings and versions of malloc do in different ways: caches, and mappings that
 * move. */
#include <malloc.h>

#include "book.h"
#include "factories.h"

enum { KIB = 1024, MIB = 1024 * 1024, PAGE = 4096 };

/* Frees of all sizes, so that each cache gets as much as its settings allow. */
static void caches_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 6000; i++)
        book_take(book, 0, number_by_doublings(&numbers, 16, 2 * KIB));
    for (unsigned i = 0; i < 100; i++)
        book_take(book, 0, number_by_doublings(&numbers, 2 * KIB, 2 * MIB));
    for (unsigned i = 0; i < 12; i++)
        book_take(book, (size_t)PAGE << i % 6, 130 * KIB + number_below(&numbers, 256 * KIB));
    book_drop_percent(book, 60, &numbers);
}

void build_caches(const char *argument)
{
    struct numbers numbers = numbers_for(100);

    mallopt(M_MMAP_THRESHOLD,
            128 * KIB); /* stays, so that mmapped chunks are freed time and again */
    caches_body(0);
    run_threads(3, 2, caches_body);
    for (unsigned thread = 1; thread <= 3; thread++)
        book_drop_percent(book_of(thread), 10, &numbers);
}

/* Mappings that realloc makes larger and smaller and that the kernel moves, aligned ones as well.
 */
static void remapped_body(unsigned thread)
{
    static const size_t alignments[] = {0, 0, 64, PAGE, 64 * KIB, MIB};
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 60; i++)
        book_take(book, alignments[i % 6], 129 * KIB + number_below(&numbers, 256 * KIB));
    for (unsigned round = 0; round < 4; round++)
        for (size_t i = 0; i < 60; i++)
            if (number_below(&numbers, 2))
                book_resize(book, i, 129 * KIB + number_below(&numbers, MIB));
    book_drop_percent(book, 30, &numbers);
}

void build_remapped(const char *argument)
{
    mallopt(M_MMAP_THRESHOLD, 128 * KIB);
    remapped_body(0);
    run_threads(2, 1, remapped_body);
}
