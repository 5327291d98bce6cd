/* Stacks of threads that have ended: of real processes, and of made-up ones that lie. */
#include "test-victim.h"

#include <pthread.h>

#include "mem/fake.h"
#include "target/ended.h"

/* addresses[2 * i]: where the stack of the i-th thread begins and ends */
enum { THREADS = 6, STAY = 2, NOT_JOINED = 2, STACK_BYTES = 128 * 1024 };

static void *tell_own_stack(void *slot)
{
    remote_addr *told = &shared->addresses[2 * (intptr_t)slot];
    pthread_attr_t attributes;
    size_t size;
    void *begin;

    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &begin, &size);
    pthread_attr_destroy(&attributes);
    told[0] = (uintptr_t)begin;
    told[1] = (uintptr_t)begin + size;
    shared->ready++;
    while ((intptr_t)slot < STAY || !shared->go)
        usleep(1000);
    return NULL;
}

/* They all live at the same time, so that none gets another's stack. `joined`: all that end are. */
static void let_threads_end(int stay, bool joined)
{
    pthread_attr_t attributes;
    pthread_t threads[THREADS];

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (intptr_t i = stay ? 0 : STAY; i < THREADS; i++)
        if (pthread_create(&threads[i], &attributes, tell_own_stack, (void *)i))
            _exit(1);
    wait_for_value(&shared->ready, stay ? THREADS : THREADS - STAY);
    shared->go = 1;
    for (int i = joined ? STAY : STAY + NOT_JOINED; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    shared->leave = 1;
    for (;;)
        pause();
}

static void some_are_joined(void)
{
    let_threads_end(STAY, false);
}

static void only_the_main_thread_is_left(void)
{
    let_threads_end(0, true);
}

static const struct thread_stack *stack_at(const struct thread_stacks *stacks, remote_addr address)
{
    for (size_t i = 0; i < stacks->count; i++)
        if (range_has(stacks->items[i].range, address))
            return &stacks->items[i];
    fail_msg("no stack at 0x%lx", (unsigned long)address);
    return NULL;
}

static size_t count_tasks(pid_t pid)
{
    pid_t *tids = NULL;
    size_t count = 0;

    if (procfs_list_tasks(&procfs, pid, &tids, &count))
        return 0;
    free(tids);
    return count;
}

/* The victim when its threads have ended, stopped. */
static struct thread_stacks stacks_of(void (*body)(void), size_t stay)
{
    struct thread_stacks stacks;
    struct maps maps;
    pid_t pid = victim_fork(body);

    assert_true(wait_for_value(&shared->leave, 1));
    for (int tries = 0; tries < 20000 && count_tasks(pid) > stay + 1; tries++)
        usleep(1000); /* what nobody joins ends some time */
    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    assert_done(maps_read(&procfs, pid, &maps, &why));
    assert_done(thread_stacks_find(&target, &maps, &stacks, &why));
    maps_free(&maps);
    return stacks;
}

static void check_ended(const struct thread_stacks *stacks, int first, bool not_joined)
{
    for (int i = first; i < (not_joined ? STAY + NOT_JOINED : THREADS); i++) {
        const remote_addr *told = &shared->addresses[2 * i];
        const struct thread_stack *stack = stack_at(stacks, told[0]);

        assert_true(stack->ended && stack->tid == 0);
        assert_int_equal(stack->not_joined, not_joined);
        assert_int_equal(stack->range.start, told[0]);
        assert_int_equal(stack->range.end, told[1]);
        assert_true(told[1] - stack->sp < 16384); /* the descriptor */
    }
}

static void finds_them_among_the_living(void **state)
{
    struct thread_stacks stacks = stacks_of(some_are_joined, STAY);

    assert_int_equal(stacks.unknown, 0);
    for (int i = 0; i < STAY; i++)
        assert_false(stack_at(&stacks, shared->addresses[2 * i])->ended);
    check_ended(&stacks, STAY, true);
    check_ended(&stacks, STAY + NOT_JOINED, false);
    free(stacks.items);
}

static void finds_them_when_only_the_main_thread_is_left(void **state)
{
    struct thread_stacks stacks = stacks_of(only_the_main_thread_is_left, 0);

    check_ended(&stacks, STAY, false);
    free(stacks.items);
}

/*
 * From here on: a made-up process with a main thread, an ended one and heads of lists, each in a
 * mapping of its own. The list stands at word 88 of a descriptor, the id behind it, the stack at
 * word 212, as in glibc 2.36.
 */
enum { LIST = 88, ID = 90, BLOCK = 212, STACK_PAGES = 16, TID = 77 };
#define DATA             UINT64_C(0x555500000000)
#define MAIN             UINT64_C(0x7f0000000000)
#define ENDED            UINT64_C(0x7f1000000000)
#define ENDED_DESCRIPTOR (ENDED + STACK_PAGES * PAGE_BYTES - 0x940)
#define MAIN_HEAD        (DATA + 0x1000)
#define CACHE_HEAD       (DATA + 0x1010)

static const char maps_text[] = "555500000000-555500004000 rw-p 00000000 08:01 7 /lib/ld.so\n"
                                "7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
                                "7f1000000000-7f1000001000 ---p 00000000 00:00 0 \n"
                                "7f1000001000-7f1000010000 rw-p 00000000 00:00 0 \n";
static uint8_t data[4 * PAGE_BYTES], main_bytes[2 * PAGE_BYTES], ended[STACK_PAGES * PAGE_BYTES];
static struct fake_extent extents[] = {
    {DATA, 4, data, NULL}, {MAIN, 2, main_bytes, NULL}, {ENDED, STACK_PAGES, ended, NULL}};
static struct fake_memory fake;

static void put(remote_addr address, uint64_t value)
{
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        struct fake_extent *extent = &extents[i];

        if (address >= extent->start && address < extent->start + extent->pages * PAGE_BYTES)
            memcpy(extent->bytes + (address - extent->start), &value, sizeof value);
    }
}

static void put_descriptor(remote_addr address, uint64_t id, remote_addr head)
{
    put(address, address);
    put(address + 16, address);
    put(address + LIST * 8, head);
    put(address + LIST * 8 + 8, head);
    put(address + ID * 8, id);
    put(head, address + LIST * 8);
    put(head + 8, address + LIST * 8);
}

static int made_up_setup(void **state)
{
    memset(data, 0, sizeof data);
    memset(main_bytes, 0, sizeof main_bytes);
    memset(ended, 0, sizeof ended);
    fake_memory_init(&fake, extents, sizeof extents / sizeof *extents);
    put_descriptor(MAIN, TID, MAIN_HEAD);
    put_descriptor(ENDED_DESCRIPTOR, 0, CACHE_HEAD);
    put(ENDED_DESCRIPTOR + BLOCK * 8, ENDED);
    put(ENDED_DESCRIPTOR + BLOCK * 8 + 8, STACK_PAGES * PAGE_BYTES);
    put(ENDED_DESCRIPTOR + BLOCK * 8 + 16, PAGE_BYTES);
    put(ENDED_DESCRIPTOR + BLOCK * 8 + 24, PAGE_BYTES);
    return 0;
}

static bool not_joined; /* the stack that was found last */

static size_t found(void)
{
    struct target_thread thread = {.tid = TID, .has_registers = true, .registers.fs_base = MAIN};
    struct thread_stacks stacks = {0};
    struct maps maps;
    struct ended_view view = {.memory = &fake.memory,
                              .maps = &maps,
                              .threads = &thread,
                              .thread_count = 1,
                              .leader = TID};
    size_t count;

    assert_done(maps_parse(maps_text, sizeof maps_text - 1, &maps, &why));
    assert_done(ended_stacks_find(&view, &stacks, &why));
    assert_int_equal(fake.reads_of_absent, 0);
    for (size_t i = 0; i < stacks.count; i++) {
        assert_true(stacks.items[i].range.start == ENDED + PAGE_BYTES &&
                    stacks.items[i].range.end == ENDED + sizeof ended);
        assert_int_equal(stacks.items[i].sp, ENDED_DESCRIPTOR);
    }
    count = stacks.count;
    not_joined = count && stacks.items[0].not_joined;
    free(stacks.items);
    maps_free(&maps);
    return count;
}

static void finds_what_proves_itself(void **state)
{
    assert_int_equal(found(), 1);
    put(ENDED_DESCRIPTOR + ID * 8, UINT32_MAX); /* -1, as pthread_join leaves it */
    assert_int_equal(found(), 1);
    assert_false(not_joined);
}

/* The head of their list stands before that of the main thread's. */
static void tells_threads_that_nobody_has_joined(void **state)
{
    put(CACHE_HEAD, CACHE_HEAD);
    put(CACHE_HEAD + 8, CACHE_HEAD);
    put_descriptor(ENDED_DESCRIPTOR, 0, MAIN_HEAD - 16);
    assert_int_equal(found(), 1);
    assert_true(not_joined);
}

static void leaves_out_what_does_not(void **state)
{
    static const struct {
        remote_addr address;
        uint64_t value;
    } wrong[] = {
        {MAIN + 16, 0},           /* the main thread has no descriptor */
        {MAIN + ID * 8, TID + 1}, /* its id is not where it should be */
        {MAIN + LIST * 8, DATA},  /* its list does not close */
        {MAIN_HEAD + 8, MAIN},
        {ENDED_DESCRIPTOR, ENDED}, /* says it is elsewhere */
        {ENDED_DESCRIPTOR + 16, 0},
        {ENDED_DESCRIPTOR + ID * 8, 78},                            /* not gone */
        {ENDED_DESCRIPTOR + LIST * 8, MAIN_HEAD},                   /* leads into the other list */
        {ENDED_DESCRIPTOR + LIST * 8, ENDED_DESCRIPTOR + LIST * 8}, /* to itself */
        {ENDED_DESCRIPTOR + LIST * 8 + 8, 0},
        {CACHE_HEAD, 0},
        {CACHE_HEAD, ENDED + 64},
        {CACHE_HEAD + 8, UINT64_MAX - 7},
        {ENDED_DESCRIPTOR + BLOCK * 8, ENDED + PAGE_BYTES}, /* not its mapping */
        {ENDED_DESCRIPTOR + BLOCK * 8 + 8, PAGE_BYTES},
        {ENDED_DESCRIPTOR + BLOCK * 8 + 16, 100},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        made_up_setup(NULL);
        put(wrong[i].address, wrong[i].value);
        if (found() != 0)
            fail_msg("case %zu was taken for a stack", i);
    }
}

static void two_places_for_the_list_are_too_many(void **state)
{
    put(MAIN + 512, MAIN_HEAD + 256);
    put(MAIN + 512 + 8, MAIN_HEAD + 256);
    put(MAIN + 512 + 16, TID);
    put(MAIN_HEAD + 256, MAIN + 512);
    put(MAIN_HEAD + 264, MAIN + 512);
    assert_int_equal(found(), 0);
}

static void survives_any_words(void **state)
{
    static const remote_addr places[] = {MAIN,
                                         MAIN + LIST * 8,
                                         MAIN_HEAD,
                                         CACHE_HEAD,
                                         ENDED_DESCRIPTOR,
                                         ENDED_DESCRIPTOR + LIST * 8,
                                         ENDED_DESCRIPTOR + BLOCK * 8};
    static const uint64_t values[] = {0,
                                      1,
                                      TID,
                                      UINT32_MAX,
                                      UINT64_MAX,
                                      MAIN,
                                      MAIN + LIST * 8,
                                      MAIN_HEAD,
                                      CACHE_HEAD,
                                      DATA,
                                      ENDED,
                                      ENDED_DESCRIPTOR,
                                      ENDED_DESCRIPTOR + LIST * 8,
                                      PAGE_BYTES,
                                      1UL << 47,
                                      1UL << 63};

    srand(1);
    for (int round = 0; round < 3000; round++) {
        made_up_setup(NULL);
        for (int change = rand() % 4; change >= 0; change--)
            put(places[(unsigned)rand() % (sizeof places / sizeof *places)] +
                    8 * (unsigned)(rand() % 3),
                values[(unsigned)rand() % (sizeof values / sizeof *values)]);
        assert_true(found() <= 1);
    }
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(finds_them_among_the_living),
        victim_test(finds_them_when_only_the_main_thread_is_left),
        cmocka_unit_test_setup(finds_what_proves_itself, made_up_setup),
        cmocka_unit_test_setup(tells_threads_that_nobody_has_joined, made_up_setup),
        cmocka_unit_test_setup(leaves_out_what_does_not, made_up_setup),
        cmocka_unit_test_setup(two_places_for_the_list_are_too_many, made_up_setup),
        cmocka_unit_test_setup(survives_any_words, made_up_setup),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
