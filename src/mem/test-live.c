#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "mem/live.h"

/*
 * The child is a fork: it has the areas below at the same addresses. What it shares with us is not
 * exclusive, what it wrote to after the fork is.
 */
enum { PAGES = 1024 };
static const size_t area_bytes = PAGES * PAGE_BYTES;

static uint8_t *own;    /* written to by the child after the fork */
static uint8_t *cow;    /* written to by us before it */
static uint8_t *sparse; /* every other page written to by the child */
static uint8_t *file;   /* the first half of a file, touched */
static uint8_t *hidden; /* PROT_NONE, with content */
static uint8_t
    *guarded; /* untouched pages; one with content; a guard page where the kernel has these */
static uint8_t *secret; /* memfd_secret, or NULL */
static atomic_int *ready;
static pid_t child;
static struct procfs procfs;
static struct live_memory live;
static struct why why;
static uint8_t flags[PAGES], buffer[PAGES * PAGE_BYTES];

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + at / PAGE_BYTES + 1);
}

static void fill(uint8_t *area, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        area[i] = pattern(i);
}

static uint8_t *map(int more_flags, int fd)
{
    void *area = mmap(NULL, area_bytes, PROT_READ | PROT_WRITE, more_flags, fd, 0);

    return area == MAP_FAILED ? NULL : area;
}

static void map_secret(void)
{
    int fd = (int)syscall(447 /* memfd_secret */, 0);

    if (fd < 0 || ftruncate(fd, (off_t)area_bytes) < 0)
        return;
    secret = map(MAP_SHARED, fd);
    close(fd);
}

static void map_file(void)
{
    char path[] = "/tmp/residue-test-live-XXXXXX";
    int fd = mkstemp(path);

    unlink(path);
    for (size_t i = 0; i < area_bytes; i++)
        buffer[i] = pattern(i);
    if (write(fd, buffer, area_bytes) == (ssize_t)area_bytes)
        file = map(MAP_PRIVATE, fd);
    close(fd);
}

static void touch(void)
{
    fill(own, area_bytes);
    for (size_t page = 0; page < PAGES; page += 2)
        fill(sparse + page * PAGE_BYTES, PAGE_BYTES);
    for (size_t page = 0; page < PAGES / 2; page++)
        *(volatile uint8_t *)(file + page * PAGE_BYTES);
    fill(hidden, area_bytes);
    mprotect(hidden, area_bytes, PROT_NONE);
    madvise(guarded, PAGE_BYTES, 102 /* MADV_GUARD_INSTALL */);
    fill(guarded + PAGE_BYTES, PAGE_BYTES);
    if (secret)
        fill(secret, PAGE_BYTES);
}

static void live_as_child(pid_t test)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != test)
        _exit(1);
    touch();
    *ready = 1;
    for (;;)
        pause();
}

static int group_setup(void **state)
{
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    pid_t test = getpid();

    ready = (atomic_int *)map(MAP_SHARED | MAP_ANONYMOUS, -1);
    own = map(anonymous, -1);
    cow = map(anonymous, -1);
    sparse = map(anonymous, -1);
    hidden = map(anonymous, -1);
    guarded = map(anonymous, -1);
    map_file();
    map_secret();
    if (!ready || !own || !cow || !sparse || !hidden || !guarded || !file)
        return -1;
    fill(cow, area_bytes);
    child = fork();
    if (child == 0)
        live_as_child(test);
    for (int i = 0; i < 10000 && !*ready; i++)
        clock_sleep_ns(NS_PER_MS);
    if (!*ready || procfs_open(&procfs, "/", &why))
        return -1;
    return live_memory_open(&live, &procfs, child, &why);
}

static int group_teardown(void **state)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return 0;
}

static uint64_t address_of(const void *area)
{
    return (uintptr_t)area;
}

static void read_area(const void *area, size_t pages)
{
    memset(buffer, 0xee, sizeof buffer);
    assert_int_equal(memory_page_flags(&live.memory, address_of(area), pages, flags, &why), 0);
    assert_int_equal(memory_read_pages(&live.memory, address_of(area), pages, flags, buffer, &why),
                     0);
}

static void assert_filled(size_t first, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (buffer[first + i] != pattern(i))
            fail_msg("byte %zu", i);
}

static void assert_zeros(size_t first, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(buffer[first + i], 0);
}

static void reads_exclusive_and_shared_pages(void **state)
{
    for (int way = 0; way < 2; way++) {
        live.only_mem_fd = way == 1;
        read_area(own, PAGES);
        assert_true(flags[7] & PAGE_EXCLUSIVE);
        assert_filled(0, area_bytes);
        read_area(cow, PAGES);
        assert_false(flags[7] & PAGE_EXCLUSIVE);
        assert_filled(0, area_bytes);
        read_area(file, PAGES / 2);
        assert_true(flags[7] & PAGE_FILE);
        assert_filled(0, area_bytes / 2);
        live.only_mem_fd = false;
    }
}

static void absent_pages_read_as_zeros_and_stay_absent(void **state)
{
    for (int round = 0; round < 2; round++) {
        read_area(sparse, PAGES);
        for (size_t page = 0; page < PAGES; page++) {
            assert_int_equal(!!(flags[page] & PAGE_PRESENT), page % 2 == 0);
            assert_false(flags[page] & PAGE_UNREADABLE);
            if (page % 2)
                assert_zeros(page * PAGE_BYTES, PAGE_BYTES);
            else
                assert_filled(page * PAGE_BYTES, PAGE_BYTES);
        }
    }
}

static void reads_what_the_process_itself_may_not(void **state)
{
    read_area(hidden, PAGES);
    if (flags[0] & PAGE_UNREADABLE) /* proc_mem.force_override=never */
        skip();
    assert_filled(0, area_bytes);
}

static void leaves_guard_pages_alone(void **state)
{
    read_area(guarded, 4);
    assert_false(flags[0] & PAGE_PRESENT);
    assert_zeros(0, PAGE_BYTES);
    assert_filled(PAGE_BYTES, PAGE_BYTES);
    assert_zeros(2 * PAGE_BYTES, 2 * PAGE_BYTES);
}

static void tells_pages_that_nobody_may_read(void **state)
{
    uint8_t byte;

    if (!secret)
        skip();
    read_area(secret, 4);
    if (!(flags[0] & PAGE_PRESENT))
        skip();
    assert_true(flags[0] & PAGE_UNREADABLE);
    assert_zeros(0, 4 * PAGE_BYTES);
    assert_int_equal(memory_read(&live.memory, address_of(secret), &byte, 1, &why),
                     OUTCOME_UNREADABLE);
}

/* As if a mapping had gone between the look at the flags and the read. */
static void a_bad_page_spoils_no_other(void **state)
{
    uint8_t *area = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
    struct live_memory self;

    assert_int_equal(live_memory_open(&self, &procfs, getpid(), &why), 0);
    for (int way = 0; way < 2; way++) {
        self.only_mem_fd = way == 1;
        fill(area, area_bytes);
        assert_int_equal(memory_page_flags(&self.memory, address_of(area), PAGES, flags, &why), 0);
        munmap(area + 300 * PAGE_BYTES, PAGE_BYTES);
        munmap(area + 500 * PAGE_BYTES, 2 * PAGE_BYTES);
        assert_int_equal(
            memory_read_pages(&self.memory, address_of(area), PAGES, flags, buffer, &why), 0);
        for (size_t page = 0; page < PAGES; page++) {
            bool bad = page == 300 || page == 500 || page == 501;

            assert_int_equal(!!(flags[page] & PAGE_UNREADABLE), bad);
            for (size_t i = page * PAGE_BYTES; i < (page + 1) * PAGE_BYTES; i++)
                if (buffer[i] != (bad ? 0 : pattern(i)))
                    fail_msg("byte %zu", i);
        }
        munmap(area, area_bytes);
        area = mmap(area, area_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    munmap(area, area_bytes);
    live_memory_close(&self);
}

/* As if the process had forked between the look at the flags and the read. */
static void pages_shared_meanwhile_stay_shared(void **state)
{
    pid_t fork_child;
    uint8_t now[PAGES];
    struct live_memory self;

    assert_int_equal(live_memory_open(&self, &procfs, getpid(), &why), 0);
    self.running = true;
    fill(own, area_bytes);
    assert_int_equal(memory_page_flags(&self.memory, address_of(own), PAGES, flags, &why), 0);
    assert_true(flags[7] & PAGE_EXCLUSIVE);
    fork_child = fork();
    if (fork_child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_true(fork_child > 0);
    assert_int_equal(memory_read_pages(&self.memory, address_of(own), PAGES, flags, buffer, &why),
                     0);
    assert_filled(0, area_bytes);
    assert_int_equal(memory_page_flags(&self.memory, address_of(own), PAGES, now, &why), 0);
    for (size_t page = 0; page < PAGES; page++)
        assert_false(now[page] & PAGE_EXCLUSIVE);
    kill(fork_child, SIGKILL);
    waitpid(fork_child, NULL, 0);
    live_memory_close(&self);
}

static void gathers_pieces_and_leaves_shared_pages_shared(void **state)
{
    static uint8_t bytes[PAGES][64];
    struct memory_piece pieces[PAGES];
    uint8_t *const areas[] = {own, cow};

    for (int shared = 0; shared < 2; shared++) {
        assert_int_equal(
            memory_page_flags(&live.memory, address_of(areas[shared]), PAGES, flags, &why), 0);
        for (size_t i = 0; i < PAGES; i++)
            pieces[i] =
                (struct memory_piece){.address = address_of(areas[shared]) + i * PAGE_BYTES + 100,
                                      .length = 64,
                                      .exclusive = flags[i] & PAGE_EXCLUSIVE,
                                      .to = bytes[i]};
        assert_int_equal(memory_gather(&live.memory, pieces, PAGES, &why), 0);
        for (size_t i = 0; i < PAGES; i++) {
            assert_true(pieces[i].ok);
            for (size_t k = 0; k < 64; k++)
                assert_int_equal(bytes[i][k], pattern(i * PAGE_BYTES + 100 + k));
        }
        assert_int_equal(
            memory_page_flags(&live.memory, address_of(areas[shared]), PAGES, flags, &why), 0);
        for (size_t i = 0; i < PAGES; i++)
            assert_int_equal(!(flags[i] & PAGE_EXCLUSIVE), shared);
    }
}

/* As if it had discarded some: reading them must not bring them back. */
static void pages_discarded_meanwhile_stay_absent(void **state)
{
    uint8_t now[PAGES];
    struct live_memory self;

    assert_int_equal(live_memory_open(&self, &procfs, getpid(), &why), 0);
    self.running = true;
    fill(own, area_bytes);
    assert_int_equal(memory_page_flags(&self.memory, address_of(own), PAGES, flags, &why), 0);
    madvise(own + 100 * PAGE_BYTES, 50 * PAGE_BYTES, MADV_DONTNEED);
    assert_int_equal(memory_read_pages(&self.memory, address_of(own), PAGES, flags, buffer, &why),
                     0);
    assert_int_equal(memory_page_flags(&self.memory, address_of(own), PAGES, now, &why), 0);
    for (size_t page = 0; page < PAGES; page++) {
        bool gone = page >= 100 && page < 150;

        assert_int_equal(now[page] & (PAGE_PRESENT | PAGE_ZERO), gone ? 0 : PAGE_PRESENT);
        assert_int_equal(!!(flags[page] & PAGE_UNREADABLE), gone);
    }
    fill(own, area_bytes);
    live_memory_close(&self);
}

static void *read_many_times(void *context)
{
    uint8_t *copy = malloc(area_bytes), got[PAGES];
    uintptr_t wrong = 0;

    for (int i = 0; i < 20; i++) {
        uint8_t *area = i % 2 ? own : cow;

        wrong += memory_page_flags(&live.memory, address_of(area), PAGES, got, NULL) != 0;
        wrong += memory_read_pages(&live.memory, address_of(area), PAGES, got, copy, NULL) != 0;
        wrong += memcmp(copy, context, area_bytes) != 0;
    }
    free(copy);
    return (void *)wrong;
}

static void several_threads_may_read(void **state)
{
    uint8_t *expected = malloc(area_bytes);
    pthread_t threads[4];

    fill(expected, area_bytes);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_many_times, expected), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    free(expected);
}

static void refuses_what_does_not_exist(void **state)
{
    struct live_memory none;

    assert_int_equal(live_memory_open(&none, &procfs, INT32_MAX, &why), -ESRCH);
    assert_string_equal(why.text, "there is no process 2147483647");
}

/* The last one: the child is no more after it. */
static void tells_when_the_process_has_gone(void **state)
{
    read_area(own, PAGES);
    assert_false(live_memory_is_gone(&live));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    child = 0;
    assert_true(live_memory_is_gone(&live));
    for (int way = 0; way < 2; way++) {
        live.only_mem_fd = way == 1;
        why.text[0] = 0;
        assert_int_equal(
            memory_read_pages(&live.memory, address_of(own), PAGES, flags, buffer, &why), -ESRCH);
        assert_string_not_equal(why.text, "");
    }
    live_memory_close(&live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_exclusive_and_shared_pages),
        cmocka_unit_test(absent_pages_read_as_zeros_and_stay_absent),
        cmocka_unit_test(reads_what_the_process_itself_may_not),
        cmocka_unit_test(leaves_guard_pages_alone),
        cmocka_unit_test(tells_pages_that_nobody_may_read),
        cmocka_unit_test(a_bad_page_spoils_no_other),
        cmocka_unit_test(gathers_pieces_and_leaves_shared_pages_shared),
        cmocka_unit_test(pages_shared_meanwhile_stay_shared),
        cmocka_unit_test(pages_discarded_meanwhile_stay_absent),
        cmocka_unit_test(several_threads_may_read),
        cmocka_unit_test(refuses_what_does_not_exist),
        cmocka_unit_test(tells_when_the_process_has_gone),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
