/* Threads that allocate, check and free; that come and go; and forks in between. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

enum { WORKERS = 4, SLOTS = 128, LARGEST = 20000 };

struct block {
    unsigned char *bytes;
    size_t length;
    unsigned char pattern;
};

struct worker {
    struct block slots[SLOTS];
    uint64_t state;
    atomic_ulong steps;
};

static struct worker workers[WORKERS];

static uint64_t number(struct worker *worker)
{
    worker->state ^= worker->state << 13;
    worker->state ^= worker->state >> 7;
    return worker->state ^= worker->state << 17;
}

static void step(struct worker *worker)
{
    struct block *block = &worker->slots[number(worker) % SLOTS];

    for (size_t i = 0; i < block->length; i++)
        check(block->bytes[i] == block->pattern);
    free(block->bytes);
    block->length = number(worker) % LARGEST;
    block->pattern = (unsigned char)number(worker);
    block->bytes = malloc(block->length);
    check(block->bytes || block->length == 0);
    memset(block->bytes, block->pattern, block->length);
    worker->steps++;
}

static void *work(void *context)
{
    for (;;)
        step(context);
    return NULL;
}

static void begin_workers(void)
{
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;

        workers[i].state = (uint64_t)i + 1;
        check(pthread_create(&thread, NULL, work, &workers[i]) == 0);
    }
}

/* All of them go on. */
static void workers_round(void)
{
    for (int i = 0; i < WORKERS; i++) {
        unsigned long before = workers[i].steps;

        while (workers[i].steps == before)
            sleep_us(50);
    }
}

static void *live_shortly(void *context)
{
    char *bytes = malloc(1000);

    memset(bytes, 7, 1000);
    for (int i = 0; i < 1000; i++)
        check(bytes[i] == 7);
    free(bytes);
    return context;
}

static void spawn_round(void)
{
    static char contexts[4];
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        check(pthread_create(&threads[i], NULL, live_shortly, &contexts[i]) == 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;

        check(pthread_join(threads[i], &result) == 0 && result == &contexts[i]);
    }
}

static void fork_round(void)
{
    int status;
    pid_t pid = fork();

    check(pid >= 0);
    if (pid == 0) {
        static struct worker own = {.state = 99};

        for (int i = 0; i < 200; i++)
            step(&own);
        _exit(0);
    }
    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void alone_round(void)
{
    static struct worker own = {.state = 77};

    step(&own);
}

static void use(unsigned number, unsigned char pattern)
{
    unsigned char *buffer = (unsigned char *)shared->buffers + (size_t)number * BUFFER_BYTES;

    for (size_t i = 0; i < BUFFER_BYTES; i += 512)
        buffer[i] = pattern;
    for (size_t i = 0; i < BUFFER_BYTES; i += 512)
        check(buffer[i] == pattern);
}

/* Buffers that nobody uses may be discarded while this process is held: only then is it certain
 * that nobody will. */
static void *use_buffers(void *context)
{
    struct worker *worker = context;

    for (;; worker->steps++) {
        unsigned number_of = (unsigned)(number(worker) % BUFFERS), none = 0;

        if (atomic_compare_exchange_strong(&shared->used[number_of], &none, 1)) {
            use(number_of, (unsigned char)(number(worker) | 1));
            shared->used[number_of] = 0;
        }
    }
    return NULL;
}

static void begin_buffers(void)
{
    shared->buffers =
        (unsigned long)mmap(NULL, (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check((void *)shared->buffers != MAP_FAILED);
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;

        workers[i].state = (uint64_t)i + 1;
        check(pthread_create(&thread, NULL, use_buffers, &workers[i]) == 0);
    }
}

const struct role thread_roles[] = {
    {"buffers", workers_round, begin_buffers}, {"allocate", alone_round, NULL},
    {"workers", workers_round, begin_workers}, {"spawn", spawn_round, NULL},
    {"fork", fork_round, begin_workers},       {NULL, NULL, NULL},
};
