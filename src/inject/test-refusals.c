/* Who is not made to make calls, and what is said; and who is, though it looks like it. */
#include "inject/test-injection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "inject/thread-status.h"
#include "inject/usable.h"

static void sleep_for_a_time(void)
{
    struct timespec wait = {.tv_sec = 1000};

    shared->ready = 1;
    for (;;)
        syscall(SYS_nanosleep, &wait, NULL);
}

static void a_sleep_whose_end_only_the_kernel_knows(void **state)
{
    victim = victim_start(sleep_for_a_time);
    assert_true(wait_for_state(victim, "S"));
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("remaining time");
}

static void poll_with_a_limit(void)
{
    shared->ready = 1;
    for (;;)
        poll(NULL, 0, 1000000);
}

static void a_poll_with_a_limit(void **state)
{
    victim = victim_start(poll_with_a_limit);
    assert_true(wait_for_state(victim, "S"));
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("remaining time");
}

static void spin_on_other_stack(void)
{
    static ucontext_t here, there;
    char *stack = malloc(256 * 1024);

    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = 256 * 1024;
    makecontext(&there, ready_and_spin, 0);
    swapcontext(&here, &there);
}

static void a_coroutine(void **state)
{
    assert_refused(spin_on_other_stack, "on a stack that is not its own");
}

/* A far return to the code segment of 32-bit programs. */
static void run_32_bit_code(void)
{
    static const uint8_t code[] = {0xeb, 0xfe}; /* a jump to itself */
    void *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    memcpy(low, code, sizeof code);
    shared->ready = 1;
    __asm__ volatile("pushq $0x23; pushq %0; lretq" : : "r"(low) : "memory");
}

static void code_of_32_bits(void **state)
{
    victim = victim_start(run_32_bit_code);
    clock_sleep_ns(20 * NS_PER_MS);
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("32-bit");
}

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static char selector; /* all calls are the kernel's */

static void dispatch_calls(void)
{
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector))
        shared->error = errno;
    ready_and_spin();
}

static void user_dispatch(void **state)
{
    victim = victim_start(dispatch_calls);
    if (shared->error) {
        print_message("# this kernel has no user dispatch\n");
        skip();
    }
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("user dispatch");
}

/* An endless restartable sequence, which begins again when it is interrupted. */
__asm__(".pushsection .text\n"
        ".globl stay_in_sequence, sequence_end, sequence_abort\n"
        "stay_in_sequence: inc %rax\n"
        "jmp stay_in_sequence\n"
        "sequence_end: nop\n"
        ".long 0x53053053\n" /* RSEQ_SIG */
        "sequence_abort: mov %rsi, 8(%rdi)\n"
        "jmp stay_in_sequence\n"
        ".popsection\n");
extern char stay_in_sequence[], sequence_end[], sequence_abort[];
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

static struct {
    uint32_t version, flags;
    uint64_t start, length, abort;
} __attribute__((aligned(32))) sequence;

static void run_sequence(void)
{
    char *rseq = (char *)__builtin_thread_pointer() + __rseq_offset;

    sequence.start = (uint64_t)stay_in_sequence;
    sequence.length = (uint64_t)(sequence_end - stay_in_sequence);
    sequence.abort = (uint64_t)sequence_abort;
    shared->ready = 1;
    __asm__ volatile("mov %1, 8(%0); jmp stay_in_sequence"
                     :
                     : "D"(rseq), "S"(&sequence)
                     : "rax", "memory");
}

static void a_restartable_sequence(void **state)
{
    if (!&__rseq_offset || __rseq_size == 0) {
        print_message("# this libc has no restartable sequences\n");
        skip();
    }
    victim = victim_start(run_sequence);
    clock_sleep_ns(20 * NS_PER_MS);
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("restartable sequence");
}

/* Its parent is this victim, with which it ends. */
static void start_in_namespaces(void)
{
    pid_t pid = unshare(CLONE_NEWPID | CLONE_NEWNS) ? -1 : fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ready_and_spin();
    }
    shared->error = errno;
    shared->pid = pid;
    shared->go = 1;
    for (;;)
        pause();
}

static void in_other_namespaces(void **state)
{
    int64_t result;

    victim_fork(start_in_namespaces);
    assert_true(wait_for_value(&shared->go, 1));
    if (shared->pid < 0) {
        print_message("# no namespaces: %s\n", strerror(shared->error));
        skip();
    }
    assert_true(wait_for_value(&shared->ready, 1));
    victim = shared->pid;
    assert_done(try_open());
    assert_done(call(SYS_getpid, 0, &result));
    assert_int_equal(result, 1);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[300];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    close(fd);
}

/* False where there is no such hierarchy, or it may not be changed. */
static bool make_cgroup(const char *hierarchy, char *directory, size_t size)
{
    snprintf(directory, size, "%s/residue-test-%d", hierarchy, (int)getpid());
    return access(hierarchy, W_OK) == 0 && mkdir(directory, 0755) == 0;
}

static void remove_cgroup(const char *directory, const char *file, const char *thaw)
{
    uint64_t deadline = clock_now_ns() + 20 * NS_PER_S;

    write_file(directory, file, thaw);
    victim_end(victim);
    while (rmdir(directory) && clock_now_ns() < deadline)
        clock_sleep_ns(NS_PER_MS);
}

static void assert_frozen_is_told(const char *hierarchy, const char *file, const char *freeze,
                                  const char *thaw)
{
    char directory[200], number[20];
    int r;

    if (!make_cgroup(hierarchy, directory, sizeof directory)) {
        print_message("# no cgroup can be made in %s\n", hierarchy);
        skip();
    }
    victim = victim_start(ready_and_spin);
    snprintf(number, sizeof number, "%d", (int)victim);
    write_file(directory, "cgroup.procs", number);
    assert_done(process_is_usable(&procfs, victim, "victim", &why));
    write_file(directory, file, freeze);
    r = process_is_usable(&procfs, victim, "victim", &why);
    remove_cgroup(directory, file, thaw);
    assert_int_equal(r, OUTCOME_NOT_POSSIBLE);
    assert_says("frozen cgroup (/residue-test-");
}

static void a_cgroup_frozen_by_v1(void **state)
{
    assert_frozen_is_told("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED");
}

static const char *v2_hierarchy(void)
{
    return access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0 ? "/sys/fs/cgroup"
                                                                  : "/sys/fs/cgroup/unified";
}

static void a_cgroup_frozen_by_v2(void **state)
{
    assert_frozen_is_told(v2_hierarchy(), "cgroup.freeze", "1", "0");
}

/* It freezes when everything has been looked at: it is found out by nothing happening, and undone.
 */
static void a_cgroup_that_freezes_meanwhile(void **state)
{
    char directory[200], number[20];
    int64_t result;
    int r;

    if (!make_cgroup(v2_hierarchy(), directory, sizeof directory)) {
        print_message("# no cgroup can be made\n");
        skip();
    }
    victim = victim_start(ready_and_spin);
    snprintf(number, sizeof number, "%d", (int)victim);
    write_file(directory, "cgroup.procs", number);
    r = try_open();
    if (r == 0) {
        write_file(directory, "cgroup.freeze", "1");
        r = call(SYS_getpid, 0, &result);
    }
    target_resume(&target);
    write_file(directory, "cgroup.freeze", "0");
    if (!wait_for_motion(1))
        r = 1;
    remove_cgroup(directory, "cgroup.freeze", "0");
    assert_int_equal(r, -ETIMEDOUT);
    assert_says("frozen");
}

/* No machine here has them: as /proc tells of them. */
static void a_shadow_stack(void **state)
{
    static const char *const directories[] = {"proc", "proc/7", "proc/7/task", "proc/7/task/8"};
    struct thread_status status;
    struct injection none = {0};
    char root[] = "/tmp/residue-test-XXXXXX", path[100];
    struct procfs fake;
    FILE *file;

    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", root, directories[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    snprintf(path, sizeof path, "%s/proc/7/task/8/status", root);
    file = fopen(path, "w");
    fputs("Name:\tx\nSigBlk:\t0000000000000001\nSigCgt:\t0000000180000002\nSeccomp:\t2\nx86_Thread_"
          "features:\tshstk wrss \n",
          file);
    fclose(file);
    assert_done(procfs_open(&fake, root, &why));
    assert_done(thread_status_read(&fake, 7, 8, &status, &why));
    procfs_close(&fake);
    unlink(path);
    for (size_t i = 4; i-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", root, directories[i]);
        rmdir(path);
    }
    rmdir(root);
    assert_int_equal(status.seccomp, 2);
    assert_int_equal(status.blocked, 1);
    assert_int_equal(status.caught, 0x180000002);
    assert_int_equal(thread_is_usable(&none, &status, &why), OUTCOME_NOT_POSSIBLE);
    assert_says("shadow stack");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        injection_test(a_sleep_whose_end_only_the_kernel_knows),
        injection_test(a_poll_with_a_limit),
        injection_test(a_coroutine),
        injection_test(code_of_32_bits),
        injection_test(user_dispatch),
        injection_test(a_restartable_sequence),
        injection_test(in_other_namespaces),
        injection_test(a_cgroup_frozen_by_v1),
        injection_test(a_cgroup_frozen_by_v2),
        injection_test(a_cgroup_that_freezes_meanwhile),
        injection_test(a_shadow_stack),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
