#include "factories.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "book.h"
#include "say.h"

enum { KIB = 1024, MIB = 1024 * 1024, PAGE = 4096, HUGE = 2 * MIB };

void (*idle_step)(void);
int fork_count, forks[MOST_FORKS];

static pthread_barrier_t done;
static void (*thread_body)(unsigned thread);
static unsigned staying;

static void *thread_main(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;

    thread_body(thread);
    pthread_barrier_wait(&done);
    while (thread <= staying)
        pause();
    return NULL;
}

static pthread_t threads[BOOKS];

void start_threads(unsigned count, void (*body)(unsigned thread))
{
    thread_body = body;
    for (unsigned t = 1; t <= count; t++)
        if (pthread_create(&threads[t], NULL, thread_main, (void *)(uintptr_t)t) != 0)
            fail("a thread could not be started");
}

void run_threads(unsigned count, unsigned stay, void (*body)(unsigned thread))
{
    staying = stay;
    pthread_barrier_init(&done, NULL, count + 1);
    start_threads(count, body);
    pthread_barrier_wait(&done);
    for (unsigned t = stay + 1; t <= count; t++)
        pthread_join(threads[t], NULL);
}

static unsigned number_in(const char *argument, unsigned otherwise)
{
    return argument ? (unsigned)strtoul(argument, NULL, 10) : otherwise;
}

/* Chunks with a mapping of their own, some of them behind a large alignment. */
static void take_mmapped(struct book *book, struct numbers *numbers)
{
    static const size_t alignments[] = {0, 64, PAGE, 64 * KIB, MIB, HUGE};

    for (unsigned i = 0; i < 24; i++)
        book_take(book, alignments[i % 6], 129 * KIB + number_below(numbers, MIB));
}

/* Frees that stay where free puts them first: tcaches, fastbins, small bins. */
static void leave_in_caches(struct book *book)
{
    size_t first = book->count;

    for (size_t size = 24; size <= 1200; size += 16)
        for (unsigned i = 0; i < 20; i++)
            book_take(book, 0, size);
    for (size_t i = first; i < book->count; i += 2)
        book_drop(book, i);
}

void mixed_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    take_mmapped(book, &numbers);
    for (unsigned i = 0; i < 2000; i++) {
        book_take(book, 0, number_by_doublings(&numbers, 16, 64 * KIB));
        if (i % 50 == 0)
            book_take(book, (size_t)32 << (i / 50 % 11), 1 + number_below(&numbers, 8 * KIB));
    }
    book_drop_percent(book, 60, &numbers);
    leave_in_caches(book);
}

/* Main thread and six more; three have exited, and all find some of their blocks freed by the main
 * thread. */
static void build_quiet(const char *argument)
{
    struct numbers numbers = numbers_for(100);

    mixed_body(0);
    run_threads(6, 3, mixed_body);
    for (unsigned thread = 1; thread <= 6; thread++)
        book_drop_percent(book_of(thread), 10, &numbers);
}

static void memalign_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 3000; i++)
        book_take(book, (size_t)32 << number_below(&numbers, 12),
                  number_by_doublings(&numbers, 8, 64 * KIB));
    for (unsigned i = 0; i < 20; i++)
        book_take(book, (size_t)32 << number_below(&numbers, 16),
                  130 * KIB + number_below(&numbers, MIB));
    book_drop_percent(book, 50, &numbers);
    for (unsigned i = 0; i < 500; i++)
        book_take(book, 64, number_below(&numbers, 3 * KIB));
}

static void build_memalign(const char *argument)
{
    memalign_body(0);
    run_threads(2, 2, memalign_body);
}

/* Heaps that were larger: what they gave back stays mapped. */
static void shrunk_body(unsigned thread)
{
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 1200; i++)
        book_take(book, 0, 100 * KIB);
    for (size_t i = book->count - 1; i > (thread == 1 ? 5 : 800); i--)
        book_drop(book, i);
    book_take(book, 0, 100);
}

static void build_shrunk(const char *argument)
{
    run_threads(2, 2, shrunk_body);
}

static void survivors_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 1500; i++)
        book_take(book, 0, 8 + number_by_doublings(&numbers, 32, 64 * KIB));
    book_drop_percent(book, 100 - 1 - thread % 5, &numbers);
}

static void build_survivors(const char *argument)
{
    run_threads(25, 25, survivors_body);
}

/* Large buffers come and go; the argument divides their size. */
static void build_mmap_threshold(const char *argument)
{
    static unsigned char *buffers[256];
    unsigned most = 8192 / number_in(argument, 1);

    srandom(0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 256; i++) {
            size_t size = (size_t)random() % most * PAGE;

            buffers[i] = malloc(size);
            if (!buffers[i])
                fail("%zu bytes could not be allocated", size);
            for (size_t at = 0; at < size; at += PAGE)
                buffers[i][at] = 1;
        }
        for (unsigned i = 0; i < 256; i++)
            free(buffers[i]);
    }
}

static void fastbins_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 60000; i++)
        book_take(book, 0, 1 + number_below(&numbers, 88));
    book_drop_percent(book, 80, &numbers);
}

static void build_fastbins(const char *argument)
{
    fastbins_body(0);
    run_threads(2, 1, fastbins_body);
}

static void build_one_kib_half(const char *argument)
{
    struct numbers numbers = numbers_for(0);
    struct book *book = book_of(0);

    for (unsigned i = 0; i < 60000; i++)
        book_take(book, 0, 512 + number_below(&numbers, 1024));
    book_drop_percent(book, 50, &numbers);
}

static void tops_body(unsigned thread)
{
    struct book *book = book_of(thread);

    book_take(book, 0, 100);
    for (unsigned i = 0; i < 400; i++)
        book_take(book, 0, 100 * KIB);
    for (size_t i = book->count - 1; i > 0; i--)
        book_drop(book, i);
}

/* All that was freed lies in the tops, and a high threshold keeps it there. */
static void build_tops(const char *argument)
{
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    tops_body(0);
    run_threads(4, 4, tops_body);
}

static void multi_heap_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);
    size_t taken = 0;

    while (taken < 200 * (size_t)MIB) {
        book_take(book, 0, number_by_doublings(&numbers, KIB, 128 * KIB));
        taken += book->blocks[book->count - 1].requested;
    }
    book_drop_percent(book, 50, &numbers);
}

static void build_multi_heap(const char *argument)
{
    run_threads(1, 1, multi_heap_body);
}

/* No heap: a region of huge pages with one page in use in each. Tells the region. */
static void build_huge_zero(const char *argument)
{
    size_t length = number_in(argument, 32) * (size_t)HUGE;
    unsigned char *start =
        mmap(NULL, length + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (start == MAP_FAILED)
        fail("the region could not be mapped");
    start += (HUGE - (uintptr_t)start % HUGE) % HUGE;
    madvise(start, length, MADV_HUGEPAGE);
    for (size_t at = 0; at < length; at += HUGE)
        pattern_fill(start + at, PAGE);
    say("REGION %p %zu", (void *)start, length);
}

/* To be run with huge pages for malloc; most of each live block was never written. */
static void build_huge_heap(const char *argument)
{
    struct numbers numbers = numbers_for(0);
    struct book *book = book_of(0);

    for (unsigned i = 0; i < 1000; i++)
        book_take_sparse(book, 100 * KIB, 1 + number_below(&numbers, 16 * KIB));
    book_drop_percent(book, 30, &numbers);
}

static void forked(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (;;)
        pause();
}

static void build_fork_shared(const char *argument)
{
    pid_t parent = getpid();

    build_one_kib_half(NULL);
    run_threads(1, 1, survivors_body);
    for (fork_count = 0; fork_count < MOST_FORKS; fork_count++) {
        forks[fork_count] = fork();
        if (forks[fork_count] < 0)
            fail("no fork");
        if (forks[fork_count] == 0)
            forked(parent);
    }
}

const struct factory factories[] = {
    {"quiet", build_quiet},
    {"threads-few-survivors", build_survivors},
    {"mmap-threshold", build_mmap_threshold},
    {"small-fastbins", build_fastbins},
    {"one-kib-half", build_one_kib_half},
    {"tops", build_tops},
    {"arena-multi-heap", build_multi_heap},
    {"huge-zero", build_huge_zero},
    {"huge-heap", build_huge_heap},
    {"fork-shared", build_fork_shared},
    {"memalign", build_memalign},
    {"shrunk", build_shrunk},
    {"foreign-sbrk", build_foreign_sbrk},
    {"brk-blocked", build_brk_blocked},
    {"brk-at-times", build_brk_at_times},
    {"namespaces", build_namespaces},
    {"fork-orphans", build_fork_orphans},
    {"churn", build_churn},
    {"fill", build_fill},
    {"caches", build_caches},
    {"remapped", build_remapped},
    {"hoards", build_hoards},
    {"deep-stack", build_deep_stack},
    {"ended", build_ended},
    {"lazy", build_lazy},
    {"one-size", build_one_size},
    {"torn", build_torn},
    {"inflated", build_inflated},
    {NULL, NULL},
};
