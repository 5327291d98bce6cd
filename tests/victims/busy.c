/*
 * Keeps a filled heap busy. Blocks are dropped and taken by the group: more at a time than a
 * thread's cache holds, so that bins all over the heap change and not the caches alone. One group
 * in eight is another thread's.
 */
#include <pthread.h>

#include "factories.h"
#include "fill.h"
#include "say.h"

enum { GROUP = 16 };
#define NS_PER_S      UINT64_C(1000000000)
#define IDLE_SLEEP_NS 100000ul

static unsigned thread_count; /* 0: the main thread is the only worker */
static size_t share_bytes;
static atomic_ulong interval_ns; /* from group to group of one worker; 0: without a break */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, building = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t built;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool going;
static atomic_bool halt = true; /* !going, to be seen without the lock */
static unsigned waiting;

unsigned busy_worker_count(void)
{
    return thread_count ? thread_count : 1;
}

unsigned long busy_steps(void)
{
    unsigned long sum = 0;

    for (unsigned i = 0; i < busy_worker_count(); i++)
        sum += atomic_load(&fill_worker(i)->steps);
    return sum;
}

/* Two workers may be at the same slot: whoever takes a block out of it owns it. */
static void drop_or_take(struct worker *worker, _Atomic(struct link *) *slot, bool drop)
{
    struct link *block = atomic_exchange(slot, drop ? NULL : fill_take(worker));

    if (block)
        fill_drop(block);
}

static void change_group(struct worker *worker)
{
    struct numbers *numbers = &worker->numbers;
    struct worker *owner = worker;
    size_t first;
    bool drop;

    if (number_below(numbers, 8) == 0)
        owner = fill_worker((unsigned)number_below(numbers, busy_worker_count()));
    first = number_below(numbers, owner->slot_count / GROUP) * GROUP;
    drop = atomic_load(&owner->slots[first]) != NULL;
    for (size_t i = first; i < first + GROUP; i++)
        drop_or_take(worker, &owner->slots[i], drop);
    atomic_fetch_add(&worker->steps, GROUP);
}

/* When the next group is due, after one at `due`; what was missed is not made up for. */
static unsigned long next_due(unsigned long due)
{
    unsigned long now = now_ns(), next = due + atomic_load(&interval_ns);

    return next > now ? next : now;
}

static void idle_worker_step(void)
{
    static unsigned long due;
    unsigned long now = now_ns();

    if (going && due <= now) {
        change_group(fill_worker(0));
        due = next_due(due);
    }
    probe_mark();
    if (!going || atomic_load(&interval_ns))
        sleep_until_ns(now + IDLE_SLEEP_NS);
}

static void wait_for_go(void)
{
    pthread_mutex_lock(&lock);
    waiting++;
    pthread_cond_broadcast(&changed);
    while (!going)
        pthread_cond_wait(&changed, &lock);
    waiting--;
    pthread_mutex_unlock(&lock);
}

static void worker_body(unsigned thread)
{
    struct worker *worker = fill_worker(thread - 1);
    unsigned long due = 0;

    pthread_mutex_lock(&building); /* in turn: none waits for an arena */
    fill_share(worker, share_bytes);
    pthread_mutex_unlock(&building);
    pthread_barrier_wait(&built);
    pthread_mutex_lock(&building);
    fill_free_half(worker);
    pthread_mutex_unlock(&building);
    for (;;) {
        if (atomic_load(&halt))
            wait_for_go();
        change_group(worker);
        due = next_due(due);
        if (atomic_load(&interval_ns))
            sleep_until_ns(due);
    }
}

static void wait_for_all(void)
{
    while (waiting < thread_count)
        pthread_cond_wait(&changed, &lock);
}

void busy_build(unsigned threads, size_t bytes)
{
    thread_count = threads;
    share_bytes = bytes / busy_worker_count();
    if (threads == 0) {
        fill_share(fill_worker(0), bytes);
        fill_free_half(fill_worker(0));
    } else {
        pthread_barrier_init(&built, NULL, threads);
        start_threads(threads, worker_body);
        pthread_mutex_lock(&lock);
        wait_for_all();
        pthread_mutex_unlock(&lock);
    }
    for (unsigned i = 0; i < busy_worker_count(); i++)
        if (fill_worker(i)->slot_count < GROUP)
            fail("fill takes more MiB than that");
}

void busy_go(unsigned long rate)
{
    if (fill_worker(0)->slot_count == 0)
        fail("only a heap that fill has built can be kept busy");
    pthread_mutex_lock(&lock);
    atomic_store(&interval_ns, rate ? GROUP * busy_worker_count() * NS_PER_S / rate : 0);
    going = true;
    atomic_store(&halt, false);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (thread_count == 0)
        idle_step = idle_worker_step;
}

void busy_probe(void)
{
    if (thread_count)
        probe_start();
    else
        idle_step = idle_worker_step;
}

bool busy_stop(void)
{
    bool was_going;

    pthread_mutex_lock(&lock);
    was_going = going;
    going = false;
    atomic_store(&halt, true);
    wait_for_all();
    pthread_mutex_unlock(&lock);
    return was_going;
}
