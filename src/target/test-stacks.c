#include "test-victim.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "mem/fake.h"
#include "target/descriptor.h"
#include "target/stacks.h"

/* The victim's threads tell what they know of their own stacks: addresses[4 * i]: tid, start, end,
 * on it now. */
enum { THREADS = 6 };

static void tell(int slot, remote_addr start, remote_addr end, bool inside)
{
    shared->addresses[4 * slot] = (remote_addr)syscall(SYS_gettid);
    shared->addresses[4 * slot + 1] = start;
    shared->addresses[4 * slot + 2] = end;
    shared->addresses[4 * slot + 3] = inside;
    shared->ready++;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void tell_own_stack(int slot, bool inside)
{
    pthread_attr_t attributes;
    size_t size;
    void *start;

    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &size);
    tell(slot, (uintptr_t)start, (uintptr_t)start + size, inside);
    pthread_attr_destroy(&attributes);
}

static void *wait_on_own_stack(void *slot)
{
    tell_own_stack((int)(intptr_t)slot, true);
    wait_for_ever();
    return NULL;
}

static void enter_coroutine(void)
{
    shared->ready++;
    wait_for_ever();
}

static void *wait_on_other_stack(void *slot)
{
    static ucontext_t coroutine, back;

    tell_own_stack((int)(intptr_t)slot, false);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_size = 64 * 1024;
    coroutine.uc_stack.ss_sp = malloc(coroutine.uc_stack.ss_size);
    makecontext(&coroutine, enter_coroutine, 0);
    swapcontext(&back, &coroutine);
    return NULL;
}

static void *fork_and_wait(void *slot)
{
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        shared->pid = getpid();
        wait_on_own_stack(slot);
    }
    wait_for_ever();
    return NULL;
}

static void start(void *(*body)(void *), int slot, size_t size, size_t guard, void *stack)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size);
    pthread_attr_setguardsize(&attributes, guard);
    if (stack)
        pthread_attr_setstack(&attributes, stack, size);
    if (pthread_create(&thread, &attributes, body, (void *)(intptr_t)slot))
        _exit(1);
}

static void have_threads(void)
{
    start(wait_on_own_stack, 0, 8 << 20, 4096, NULL);
    start(wait_on_own_stack, 1, 64 * 1024, 64 * 1024, NULL);
    start(wait_on_own_stack, 2, 128 * 1024, 0, NULL);
    start(wait_on_own_stack, 3, 256 * 1024 - 64, 0, (char *)malloc(256 * 1024) + 16);
    start(wait_on_other_stack, 4, 256 * 1024, 4096, NULL);
    start(wait_on_own_stack, 5, 200 * 1024 + 512, 8192, NULL); /* no multiple of a page */
    wait_for_ever();
}

static struct thread_stacks find(pid_t pid)
{
    struct thread_stacks stacks;
    struct maps maps;

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    assert_done(maps_read(&procfs, pid, &maps, &why));
    assert_done(thread_stacks_find(&target, &maps, &stacks, &why));
    for (size_t i = 0; i < stacks.count; i++) {
        assert_true(stacks.items[i].range.start < stacks.items[i].range.end);
        assert_true(i == 0 || stacks.items[i - 1].range.end <= stacks.items[i].range.start);
    }
    maps_free(&maps);
    return stacks;
}

static const struct thread_stack *stack_of(const struct thread_stacks *stacks, pid_t tid)
{
    for (size_t i = 0; i < stacks->count; i++)
        if (stacks->items[i].tid == tid)
            return &stacks->items[i];
    fail_msg("no stack of thread %d", (int)tid);
    return NULL;
}

static void finds_the_stacks_of_all_threads(void **state)
{
    pid_t pid = victim_fork(have_threads);
    const struct thread_stack *stack;
    struct thread_stacks stacks;

    assert_true(wait_for_value(&shared->ready, THREADS + 1)); /* one tells that twice */
    stacks = find(pid);
    assert_int_equal(stacks.unknown, 0);
    assert_int_equal(stacks.count, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        const remote_addr *told = &shared->addresses[4 * i];

        stack = stack_of(&stacks, (pid_t)told[0]);
        assert_int_equal(stack->range.start, told[1]);
        assert_int_equal(stack->range.end, told[2]);
        assert_int_equal(stack->sp_inside, told[3]);
        assert_int_equal(range_has(stack->range, stack->sp), told[3]);
    }
    stack = stack_of(&stacks, pid);
    assert_true(stack->sp_inside);
    free(stacks.items);
}

static void fork_from_a_thread(void)
{
    start(fork_and_wait, 0, 512 * 1024, 4096, NULL);
    wait_for_ever();
}

static void a_fork_stays_on_the_stack_of_the_thread_that_forked(void **state)
{
    const remote_addr *told = shared->addresses;
    struct thread_stacks stacks;
    unsigned inside = 0, outside = 0;

    victim_fork(fork_from_a_thread);
    assert_true(wait_for_value(&shared->ready, 1));
    stacks = find(shared->pid);
    assert_int_equal(stacks.unknown, 0);
    for (size_t i = 0; i < stacks.count; i++) {
        if (stacks.items[i].ended) /* threads that the fork left behind */
            continue;
        assert_int_equal(stacks.items[i].tid, shared->pid);
        if (!stacks.items[i].sp_inside) { /* the main stack: nothing runs on it any more */
            outside++;
            continue;
        }
        inside++;
        assert_int_equal(stacks.items[i].range.start, told[1]);
        assert_int_equal(stacks.items[i].range.end, told[2]);
    }
    assert_int_equal(inside, 1);
    assert_int_equal(outside, 1);
    free(stacks.items);
}

static int wait_as_bare_thread(void *context)
{
    shared->ready = 1;
    for (;;)
        syscall(SYS_pause);
    return 0;
}

/* A thread without any descriptor, and one that shares its maker's thread pointer. */
static void *clone_bare_thread(void *without_pointer)
{
    static uint64_t no_descriptor[1024];
    const int flags =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    char *stack = mmap(NULL, 64 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    clone(wait_as_bare_thread, stack + 64 * 1024, flags | (without_pointer ? CLONE_SETTLS : 0),
          NULL, NULL, no_descriptor, NULL);
    wait_for_ever();
    return NULL;
}

static void have_bare_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, clone_bare_thread, shared->go ? shared : NULL);
    wait_for_ever();
}

static void counts_threads_that_it_does_not_know(void **state)
{
    for (int without_pointer = 0; without_pointer < 2; without_pointer++) {
        struct thread_stacks stacks;
        pid_t pid;

        shared->ready = 0;
        shared->go = without_pointer;
        pid = victim_start(have_bare_thread);
        stacks = find(pid);
        assert_int_equal(target.thread_count, 3);
        assert_int_equal(stacks.count, 2);
        assert_int_equal(stacks.unknown, 1);
        for (size_t i = 0; i < stacks.count; i++)
            assert_true(stacks.items[i].sp_inside);
        free(stacks.items);
        target_close(&target);
        victim_end(pid);
    }
}

static void needs_a_stopped_process(void **state)
{
    struct thread_stacks stacks;
    struct maps maps = {0};
    pid_t pid = victim_fork(wait_for_ever);

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_int_equal(thread_stacks_find(&target, &maps, &stacks, &why), -EINVAL);
}

/* From here on: a made-up process with one stack, its descriptor near the top. */
enum { STACK_PAGES = 64, GUARD = 4096, POINTER_AT = (STACK_PAGES << 12) - 0x940 };
static const remote_addr block = 0x7f0000000000;
static const char maps_text[] = "7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n"
                                "7f0000001000-7f0000040000 rw-p 00000000 00:00 0 \n"
                                "7f0000040000-7f0000080000 rw-p 00000000 00:00 0 \n";

static uint8_t bytes[STACK_PAGES * PAGE_BYTES], page_flags[STACK_PAGES];
static struct fake_extent extent = {block, STACK_PAGES, bytes, page_flags};
static struct fake_memory fake;

static void put(size_t word, uint64_t value)
{
    memcpy(&bytes[POINTER_AT + word * 8], &value, sizeof value);
}

static void put_descriptor(size_t word, uint64_t start, uint64_t size, uint64_t guard,
                           uint64_t reported)
{
    put(word, start);
    put(word + 1, size);
    put(word + 2, guard);
    put(word + 3, reported);
}

static int made_up_setup(void **state)
{
    memset(bytes, 0, sizeof bytes);
    memset(page_flags, PAGE_PRESENT, sizeof page_flags);
    fake_memory_init(&fake, &extent, 1);
    put_descriptor(0xd4, block, sizeof bytes, GUARD, GUARD);
    return 0;
}

static int find_made_up(struct range *ret)
{
    struct maps maps;
    int r;

    assert_done(maps_parse(maps_text, sizeof maps_text - 1, &maps, &why));
    r = descriptor_find_stack(&fake.memory, &maps, block + POINTER_AT, block + POINTER_AT - 512,
                              ret, &why);
    maps_free(&maps);
    assert_int_equal(fake.reads_of_absent, 0);
    return r;
}

static void finds_the_only_match(void **state)
{
    struct range range;

    assert_done(find_made_up(&range));
    assert_int_equal(range.start, block + GUARD);
    assert_int_equal(range.end, block + sizeof bytes);
}

static void refuses_two_matches(void **state)
{
    struct range range;

    put_descriptor(0xa0, block, sizeof bytes, GUARD, GUARD);
    assert_int_equal(find_made_up(&range), OUTCOME_NOT_FOUND);
}

static void refuses_what_is_no_stack(void **state)
{
    static const struct {
        uint64_t start, size, guard, reported;
    } wrong[] = {
        {0, 0, 0, 0},
        {block, sizeof bytes, GUARD, 2 * GUARD},           /* more reported than there is */
        {block, sizeof bytes, 100, 0},                     /* no page */
        {block, sizeof bytes, sizeof bytes, 0},            /* nothing but guard */
        {block + 16, sizeof bytes - 16, GUARD, GUARD},     /* not on a page */
        {block - 4096, sizeof bytes + 4096, GUARD, GUARD}, /* not mapped in front */
        {block, sizeof bytes, 0, 0},                       /* not writable in front */
        {block + 4096, 4096, 0, 0},                        /* elsewhere */
        {block, 2 * sizeof bytes, GUARD, GUARD},           /* descriptor in the middle */
        {block, 3 * sizeof bytes, GUARD, GUARD},           /* not mapped behind */
        {block, UINT64_MAX - 4095, GUARD, GUARD},          /* past the address space */
        {UINT64_MAX - 4095, 8192, GUARD, GUARD},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
    struct range range;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_descriptor(0xd4, wrong[i].start, wrong[i].size, wrong[i].guard, wrong[i].reported);
        if (find_made_up(&range) != OUTCOME_NOT_FOUND)
            fail_msg("case %zu was taken for a stack", i);
    }
}

static void reads_present_pages_only(void **state)
{
    struct range range;

    page_flags[STACK_PAGES - 1] = 0;
    put_descriptor(0xd4, 0, 0, 0, 0);
    assert_int_equal(find_made_up(&range), OUTCOME_NOT_FOUND);
}

static void survives_any_words(void **state)
{
    static const uint64_t values[] = {0,          1,          4096,         8192,
                                      block,      block + 16, block + 4096, sizeof bytes,
                                      UINT64_MAX, 1UL << 47,  1UL << 63,    sizeof bytes - 4096};
    struct range range;

    srand(1);
    for (int round = 0; round < 20000; round++) {
        int r;

        for (size_t word = 0; word < 0x120; word++)
            put(word, values[(unsigned)rand() % (sizeof values / sizeof *values)]);
        r = find_made_up(&range);
        assert_true(r == 0 || r == OUTCOME_NOT_FOUND);
        if (r == 0)
            assert_true(range.start >= block && range.end <= block + 2 * sizeof bytes);
    }
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(finds_the_stacks_of_all_threads),
        victim_test(a_fork_stays_on_the_stack_of_the_thread_that_forked),
        victim_test(counts_threads_that_it_does_not_know),
        victim_test(needs_a_stopped_process),
        cmocka_unit_test_setup(finds_the_only_match, made_up_setup),
        cmocka_unit_test_setup(refuses_two_matches, made_up_setup),
        cmocka_unit_test_setup(refuses_what_is_no_stack, made_up_setup),
        cmocka_unit_test_setup(reads_present_pages_only, made_up_setup),
        cmocka_unit_test_setup(survives_any_words, made_up_setup),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
