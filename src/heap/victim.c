/* A small heap with a bit of everything, for tests that copy and corrupt it. Prints a line when it
 * stands. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BLOCKS = 1500 };

static pthread_barrier_t built;

static void build(unsigned seed)
{
    static __thread void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++) {
        size_t size = 16 + (size_t)rand_r(&seed) % (1u << (4 + rand_r(&seed) % 9));

        blocks[i] = malloc(size);
        if (!blocks[i])
            abort();
        memset(blocks[i], 0x5a, size);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (rand_r(&seed) % 3)
            free(blocks[i]);
}

static void *thread(void *seed)
{
    build((unsigned)(size_t)seed);
    pthread_barrier_wait(&built);
    pause();
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    void *large[4];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_barrier_init(&built, NULL, 3);
    for (size_t i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)(i + 2)))
            return 1;
    build(1);
    for (size_t i = 0; i < 4; i++) {
        large[i] = i == 3 ? memalign(1 << 16, 300000) : malloc(200000 + i * 70000);
        if (!large[i])
            return 1;
        memset(large[i], 1, 100000);
    }
    pthread_barrier_wait(&built);
    puts("READY");
    fflush(stdout);
    for (;;)
        pause();
}
