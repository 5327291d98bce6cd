/*
 * A small heap with a bit of everything, for capturing: blocks of all kinds, free in all places,
 * most memory zero. With an argument it stays at one thread. Prints its process id when it stands,
 * and waits to be killed.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 120 };

static pthread_barrier_t built;

static void touch(uintptr_t from, uintptr_t to)
{
    for (; from < to; from += 4096)
        *(volatile char *)from = *(volatile char *)from;
}

/* Free chunks with whole pages in them. */
static void leave_gaps(void)
{
    void *blocks[4];

    for (int i = 0; i < 4; i++) {
        blocks[i] = malloc(6000 + 2500 * (size_t)i);
        touch((uintptr_t)blocks[i], (uintptr_t)blocks[i] + 6000 + 2500 * (uintptr_t)i);
        if (!malloc(24))
            abort();
    }
    for (int i = 0; i < 3; i++)
        free(blocks[i]);
}

static void build(unsigned seed)
{
    static void *all[4][BLOCKS]; /* not thread-local: where the tcache pointer is looked for */
    void **blocks = all[seed];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(16 + (size_t)rand_r(&seed) % (1u << (4 + rand_r(&seed) % 8)));
    for (int i = 0; i < BLOCKS; i++)
        if (rand_r(&seed) % 3)
            free(blocks[i]);
    leave_gaps();
    free(malloc(1500)); /* sorts what is free into bins, then leaves some unsorted */
    for (int i = 0; i < 12; i++)
        blocks[i] = malloc(24 + 1100 * (size_t)(i % 2));
    for (int i = 0; i < 12; i += 2)
        free(blocks[i + 1]);
    for (int i = 0; i < 12; i += 2)
        free(blocks[i]);
}

/* So that some regions are resident as a whole: the others end in a top that never was. */
static void touch_region(void)
{
    enum { HEAP_RESERVE = 64 << 20, FIRST_HEAP = 0x21000 }; /* of thread arenas */
    uintptr_t block = (uintptr_t)malloc(24), end = (uintptr_t)sbrk(0),
              start = block & -(uintptr_t)HEAP_RESERVE;

    if (block < end)
        touch(block, end);
    else
        touch(block, start + FIRST_HEAP);
}

static void *thread(void *seed)
{
    build((unsigned)(size_t)seed);
    if ((size_t)seed == 2)
        touch_region();
    pthread_barrier_wait(&built);
    pause();
    return NULL;
}

static void start(size_t seed)
{
    pthread_attr_t small;
    pthread_t id;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 32768);
    if (pthread_create(&id, &small, thread, (void *)seed))
        abort();
}

int main(int argc, char **argv)
{
    /* Keeps the threads' stacks apart from what lies below the main thread's pointer. */
    mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_barrier_init(&built, NULL, argc > 1 ? 1 : 3);
    for (size_t i = 0; i < 2 && argc == 1; i++)
        start(i + 2);
    build(1);
    if (argc > 1)
        touch_region();
    if (!malloc(200000) || !memalign(65536, 140000))
        abort();
    pthread_barrier_wait(&built);
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (;;)
        pause();
}
