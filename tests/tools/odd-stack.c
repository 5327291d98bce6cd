/*
 * A thread on a stack that the program gave it, which begins in the middle of a page
 * (pthread_attr_setstack), and of which the thread once used more than it does now.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STACK_BYTES = 1 << 20, ODD_BYTES = 0x400, DEEP_BYTES = 600 << 10 };

static __attribute__((noinline)) void go_deep(void)
{
    volatile char deep[DEEP_BYTES];

    for (size_t i = 0; i < sizeof deep; i += 512)
        deep[i] = 1;
}

static void *run(void *context)
{
    go_deep();
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
    return context;
}

int main(void)
{
    char *block =
        mmap(NULL, STACK_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;

    if (block == MAP_FAILED)
        return 1;
    block[2 * ODD_BYTES] = 1; /* its first page is resident, too */
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, block + ODD_BYTES, STACK_BYTES) != 0 ||
        pthread_create(&thread, &attributes, run, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 0;
}
