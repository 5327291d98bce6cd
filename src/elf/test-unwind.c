/* Unwinding of real processes, in every situation in which a proof is wanted later. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "elf/test-process.h"
#include "mem/fake.h"
#include "test-victims.h"

static struct chain chain; /* large */

static void start(struct victim *victim, const char *path, const char *how)
{
    const char *const arguments[] = {"victim", how, NULL};

    victim_start(victim, path, arguments, true);
    victim_open(victim);
}

static void expect_complete(const char *how)
{
    if (chain.end != UNWIND_COMPLETE)
        fail_msg("%s: after %zu frames: %s", how, chain.count, chain.why.text);
}

static bool has_all_named(struct victim *victim)
{
    for (size_t i = 0; i < victim->named_count; i++)
        if (!chain_has(victim, &chain, victim->named[i]))
            return false;
    return true;
}

/* Looks until the thread has got to where it announced to go; every look must be complete. */
static void expect_named(struct victim *victim, pid_t tid, const char *how)
{
    bool there = false;

    thread_seize(tid);
    for (unsigned tries = 0; tries < 5000 && !there; tries++) {
        thread_stop(tid);
        thread_chain(victim, tid, &chain);
        expect_complete(how);
        there = has_all_named(victim);
        thread_resume(tid);
        clock_sleep_ns(there ? 0 : NS_PER_MS);
    }
    if (!there)
        fail_msg("%s: the functions that it is in were never found on its stack", how);
}

static void check_situation(const char *path, const char *how)
{
    struct victim victim;

    start(&victim, path, how);
    expect_named(&victim, victim.pid, how);
    victim_end(&victim);
}

static void test_blocked_and_interrupted(void **state)
{
    static const char *const hows[] = {"read",   "nanosleep", "poll", "qsort",
                                       "signal", "altstack",  "entry"};

    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        check_situation(VICTIM, hows[i]);
        check_situation(VICTIM_STATIC, hows[i]);
    }
}

static bool is_sleeping(struct victim *victim, pid_t tid)
{
    char *text = NULL;
    size_t length;
    bool sleeping = false;

    if (procfs_read(&victim->procfs, &text, &length, "proc/%d/task/%d/stat", victim->pid, tid) ==
        0) {
        const char *name_end = strrchr(text, ')');
        sleeping = name_end && name_end[1] == ' ' && name_end[2] == 'S';
        free(text);
    }
    return sleeping;
}

/* Both sleep: past clone3, which is not described around its system call (glibc ends its entry
 * before it). */
static bool has_two_sleepers(struct victim *victim, pid_t tids[2])
{
    pid_t *found = NULL;
    size_t count = 0;

    assert_int_equal(procfs_list_tasks(&victim->procfs, victim->pid, &found, &count), 0);
    bool two = count == 2 && is_sleeping(victim, found[0]) && is_sleeping(victim, found[1]);
    if (two)
        memcpy(tids, found, 2 * sizeof *tids);
    free(found);
    return two;
}

/* The second thread's chain has what it announced; the first thread waits for it, and is complete
 * too. */
static void check_thread(const char *path)
{
    struct victim victim;
    pid_t tids[2] = {0};
    bool ready = false;

    start(&victim, path, "thread");
    for (unsigned tries = 0; tries < 5000 && !ready; tries++) {
        ready = has_two_sleepers(&victim, tids);
        clock_sleep_ns(ready ? 0 : NS_PER_MS);
    }
    assert_true(ready);
    expect_named(&victim, tids[1], "thread");
    thread_seize(tids[0]);
    thread_stop(tids[0]);
    thread_chain(&victim, tids[0], &chain);
    expect_complete("joining");
    victim_end(&victim);
}

static void test_threads(void **state)
{
    check_thread(VICTIM);
    check_thread(VICTIM_STATIC);
}

/* Stops the process at random moments; counts the complete chains, and those whose innermost frame
 * is in `image`. */
static size_t sample(struct victim *victim, unsigned count, const char *image, size_t *ret_inside,
                     const char *how)
{
    size_t complete = 0;

    *ret_inside = 0;
    thread_seize(victim->pid);
    for (unsigned i = 0; i < count; i++) {
        clock_sleep_ns(test_random(500000));
        thread_stop(victim->pid);
        thread_chain(victim, victim->pid, &chain);
        struct elf_image *in = elf_images_find(&victim->images, chain.pc[0]);
        *ret_inside += image && in && strstr(in->path, image);
        if (chain.end == UNWIND_COMPLETE)
            complete++;
        else
            print_message("# %s: incomplete: %s\n", how, chain.why.text);
        if (victim->named_count > 0 && chain.end == UNWIND_COMPLETE)
            assert_true(has_all_named(victim));
        thread_resume(victim->pid);
    }
    return complete;
}

static void check_samples(const char *path, const char *how, unsigned count, const char *image)
{
    struct victim victim;
    size_t inside;

    start(&victim, path, how);
    expect_named(&victim, victim.pid, how); /* it has arrived */
    ptrace(PTRACE_INTERRUPT, victim.pid, NULL, NULL);
    assert_int_equal(waitpid(victim.pid, NULL, __WALL), victim.pid);
    assert_int_equal(ptrace(PTRACE_DETACH, victim.pid, NULL, NULL), 0);
    assert_int_equal(sample(&victim, count, image, &inside, how), count);
    if (image)
        assert_true(inside > 0);
    victim_end(&victim);
}

static void test_samples_of_work(void **state)
{
    check_samples(VICTIM, "work", 300, "libc.so");
    check_samples(VICTIM_STATIC, "work", 300, NULL);
}

static void test_samples_in_vdso(void **state)
{
    check_samples(VICTIM, "clocks", 300, "[vdso]");
    check_samples(VICTIM_STATIC, "clocks", 300, "[vdso]");
}

/* Prologues, epilogues, PLT stubs, lazy binding, a signal's arrival and return: every instruction
 * is complete. */
static void check_every_step(const char *path, unsigned least, bool lazy)
{
    struct victim victim;
    unsigned steps = 0, in_loader = 0;
    int status, signal_number = 0;

    start(&victim, path, "walk");
    expect_named(&victim, victim.pid, "walk");
    thread_stop(victim.pid);
    assert_int_equal(write(victim.input, "x", 1), 1);
    for (;; steps++) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, victim.pid, NULL, signal_number), 0);
        assert_int_equal(waitpid(victim.pid, &status, __WALL), victim.pid);
        if (!WIFSTOPPED(status))
            break;
        signal_number = WSTOPSIG(status) == SIGTRAP || status >> 16 ? 0 : WSTOPSIG(status);
        thread_chain(&victim, victim.pid, &chain);
        expect_complete("step");
        struct elf_image *image = elf_images_find(&victim.images, chain.pc[0]);
        in_loader += image && strstr(image->path, "ld-linux");
        assert_true(has_all_named(&victim));
    }
    victim.pid = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    print_message("# %u instructions followed, %u of them binding\n", steps, in_loader);
    assert_true(steps >= least);
    assert_true(!lazy || in_loader > least / 2);
    victim_end(&victim);
}

static void test_every_step(void **state)
{
    check_every_step(VICTIM, 2500, true);
    check_every_step(VICTIM_STATIC, 500, false);
}

static void test_code_made_at_run_time(void **state)
{
    struct victim victim;
    bool seen = false;

    start(&victim, VICTIM, "made-code");
    thread_seize(victim.pid);
    for (unsigned tries = 0; tries < 5000 && !seen; tries++) {
        thread_stop(victim.pid);
        thread_chain(&victim, victim.pid, &chain);
        seen = chain.end == UNWIND_INCOMPLETE;
        thread_resume(victim.pid);
        clock_sleep_ns(NS_PER_MS);
    }
    assert_true(seen);
    assert_int_equal(chain.count, 1);
    assert_non_null(strstr(chain.why.text, "no ELF image"));
    victim_end(&victim);
}

/* An interpreter: reported, and nearly always complete. */
static void test_python(void **state)
{
    static const char program[] = "import sys\nprint('1', flush=True)\n"
                                  "while True: sorted(str(i) * 3 for i in range(2000))\n";
    const char *const arguments[] = {"python3", "-c", program, NULL};
    struct victim victim;
    size_t inside;

    if (access("/usr/bin/python3", X_OK) != 0)
        skip();
    victim_start(&victim, "/usr/bin/python3", arguments, true);
    victim.named_count = 0;
    victim_open(&victim);
    size_t complete = sample(&victim, 200, "python", &inside, "python");
    print_message("# python3: %zu of 200 samples complete, %zu in python itself\n", complete,
                  inside);
    assert_true(complete >= 190);
    victim_end(&victim);
}

static int ignore(void *context, remote_addr pc)
{
    return 0;
}

/* A stack that was overwritten: the frame pointer of `outer` leads back to frames that were left
 * long ago. */
static void test_frames_that_go_back(void **state)
{
    uint64_t words[PAGE_BYTES / sizeof(uint64_t)] = {0};
    struct fake_extent extent = {.start = 0x7f0000000000, .pages = 1, .bytes = (uint8_t *)words};
    struct fake_memory fake;
    struct victim victim;
    struct range outer;
    struct why why = {{0}};
    struct unwind_registers registers = {.value = {[6] = 0x7f0000000100, [7] = 0x7f0000000800},
                                         .known = 0x1ffff};

    start(&victim, VICTIM, "read");
    expect_named(&victim, victim.pid, "read");
    assert_int_equal(
        elf_function_at(elf_images_find(&victim.images, victim.named[3]), victim.named[3], &outer),
        0);
    for (size_t i = 0; i < chain.count; i++)
        if (range_has(outer, chain.pc[i]))
            registers.value[16] = chain.pc[i];
    fake_memory_init(&fake, &extent, 1);
    assert_int_equal(unwind(&victim.images, &fake.memory, registers, ignore, NULL, &why),
                     UNWIND_INCOMPLETE);
    assert_non_null(strstr(why.text, "below"));

    registers.value[6] =
        0x7f0000000ff0; /* in order, but its return address is no longer in memory */
    assert_int_equal(unwind(&victim.images, &fake.memory, registers, ignore, NULL, &why),
                     UNWIND_INCOMPLETE);
    registers.known &= ~(UINT32_C(1) << 6);
    assert_int_equal(unwind(&victim.images, &fake.memory, registers, ignore, NULL, &why),
                     UNWIND_INCOMPLETE);
    assert_non_null(strstr(why.text, "lost"));
    victim_end(&victim);
}

static int stop_at_once(void *context, remote_addr pc)
{
    return 1;
}

static void test_stopped_and_unknown(void **state)
{
    struct elf_images none = {0};
    struct unwind_registers registers = {.value = {[16] = 0x1000}, .known = 1 << 16};
    struct why why = {{0}};

    assert_int_equal(unwind(&none, NULL, registers, stop_at_once, NULL, &why), UNWIND_STOPPED);
    registers.known = 0;
    assert_int_equal(unwind(&none, NULL, registers, stop_at_once, NULL, &why), UNWIND_INCOMPLETE);
    assert_non_null(strstr(why.text, "registers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_and_interrupted),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_samples_of_work),
        cmocka_unit_test(test_samples_in_vdso),
        cmocka_unit_test(test_every_step),
        cmocka_unit_test(test_code_made_at_run_time),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_stopped_and_unknown),
        cmocka_unit_test(test_frames_that_go_back),
    };
    return cmocka_run_group_tests_name("elf unwinding", tests, NULL, NULL);
}
