/* One way of holding memory each, for what is told of it. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "book.h"
#include "factories.h"
#include "say.h"

enum { KIB = 1024, MIB = 1024 * 1024, PAGE = 4096 };

/* To be run with room for 1000 chunks of a size in each cache: 16 threads keep 1 MB each in theirs.
 */
static void hoard_body(unsigned thread)
{
    static __thread void *blocks[1000];

    for (size_t i = 0; i < 1000; i++)
        blocks[i] = malloc(1000);
    for (size_t i = 0; i < 1000; i++) {
        memset(blocks[i], 1, 1000);
        free(blocks[i]);
    }
}

void build_hoards(const char *argument)
{
    run_threads(16, 16, hoard_body);
}

__attribute__((noinline)) static void use_stack(size_t bytes)
{
    volatile char stack[64 * KIB];

    for (size_t at = 0; at < sizeof stack; at += PAGE)
        stack[at] = 1;
    if (bytes > sizeof stack)
        use_stack(bytes - sizeof stack);
    stack[0] = 2; /* after the call, so that it is no jump */
}

/* Was once 6 MiB deep in calls. */
void build_deep_stack(const char *argument)
{
    use_stack(6 * MIB);
}

enum { ENDED = 200 };
static pthread_barrier_t all_live;

static void *end_soon(void *argument)
{
    use_stack(96 * KIB);
    pthread_barrier_wait(&all_live);
    return argument;
}

/*
 * 200 threads with stacks of 192 KiB, all at the same time, which end: "joined" or "left". glibc
 * gives back what of a stack is more than 16 KiB from the end of its use (advise_stack_range).
 */
void build_ended(const char *argument)
{
    static pthread_t ended[ENDED];
    bool joined = argument && strcmp(argument, "joined") == 0;
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 192 * KIB);
    pthread_barrier_init(&all_live, NULL, ENDED + 1);
    for (unsigned i = 0; i < ENDED; i++)
        if (pthread_create(&ended[i], &attributes, end_soon, NULL))
            fail("a thread could not be started");
    pthread_barrier_wait(&all_live);
    for (unsigned i = 0; joined && i < ENDED; i++)
        pthread_join(ended[i], NULL);
}

static void *map_and_touch(size_t bytes)
{
    unsigned char *start =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (start == MAP_FAILED)
        fail("%zu bytes could not be mapped", bytes);
    madvise(start, bytes, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < bytes; at += PAGE)
        start[at] = 1;
    return start;
}

/* 32 MiB of the program's own, 24 of which it has given up lazily. */
void build_lazy(const char *argument)
{
    unsigned char *start = map_and_touch(32 * (size_t)MIB);

    if (madvise(start, 24 * (size_t)MIB, MADV_FREE))
        fail("this kernel has no MADV_FREE");
}

/* Nearly all of it is in blocks of one size. */
void build_one_size(const char *argument)
{
    for (unsigned i = 0; i < 60000; i++)
        book_take(book_of(0), 0, 1000);
}

static void torn_body(unsigned thread)
{
    unsigned char *blocks[3000];

    for (unsigned i = 0; i < 3000; i++) {
        blocks[i] = malloc(2000);
        memset(blocks[i], 1, 2000);
    }
    memset(blocks[1500] - 8, 0xff, 8); /* its size */
}

/* A thread's arena in which one chunk's size was overwritten. The thread goes on to live. */
void build_torn(const char *argument)
{
    run_threads(1, 1, torn_body);
}
