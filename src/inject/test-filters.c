/* Calls that a thread's seccomp filters allow are made, and no others. */
#include "inject/test-injection.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

static void sleep_strictly(void)
{
    int ends[2];
    char byte;

    if (pipe(ends))
        _exit(1);
    shared->ready = 1;
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    for (;;)
        if (read(ends[0], &byte, 1) < 0)
            shared->counters[0]++;
}

static void strict_seccomp(void **state)
{
    victim = victim_start(sleep_strictly);
    assert_true(wait_for_state(victim, "S"));
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says("strict seccomp");
}

static void install(const struct sock_filter *program, unsigned short count)
{
    struct sock_fprog filter = {count, (struct sock_filter *)(uintptr_t)program};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        _exit(1);
}

#define LOAD(field)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ANSWER(value)      BPF_STMT(BPF_RET | BPF_K, value)

/* getpid dies if its first argument is 1; two filters, of which the first one only logs. */
static void filter_by_argument(void)
{
    static const struct sock_filter log_all[] = {ANSWER(SECCOMP_RET_LOG)};
    static const struct sock_filter by_argument[] = {LOAD(nr),
                                                     IS(SYS_getpid, 0, 3),
                                                     LOAD(args[0]),
                                                     IS(1, 0, 1),
                                                     ANSWER(SECCOMP_RET_KILL_PROCESS),
                                                     ANSWER(SECCOMP_RET_ALLOW)};

    install(by_argument, 6);
    install(log_all, 1);
    ready_and_spin();
}

static void calls_are_asked_for_with_their_arguments(void **state)
{
    int64_t result;

    victim = victim_start(filter_by_argument);
    assert_done(try_open());
    assert_int_equal(call(SYS_getpid, 1, &result), OUTCOME_NOT_POSSIBLE);
    assert_says("seccomp filter");
    assert_done(call(SYS_getpid, 0, &result));
    assert_int_equal(result, victim);
    assert_done(call(SYS_getppid, 1, &result));
    assert_int_equal(result, getpid());
}

static void forbid_sigreturn(void)
{
    static const struct sock_filter program[] = {
        LOAD(nr), IS(SYS_rt_sigreturn, 0, 1), ANSWER(SECCOMP_RET_TRAP), ANSWER(SECCOMP_RET_ALLOW)};

    install(program, 4);
    ready_and_spin();
}

static void the_way_back_must_be_allowed(void **state)
{
    int64_t result;

    victim = victim_start(forbid_sigreturn);
    assert_done(try_open());
    assert_int_equal(call(SYS_getpid, 0, &result), OUTCOME_NOT_POSSIBLE);
    assert_says("system call 15");
}

/* As systemd's MemoryDenyWriteExecute: no memory that is executable and writable. */
static void deny_write_execute(void)
{
    static const struct sock_filter program[] = {
        LOAD(nr),
        IS(SYS_mmap, 2, 0),
        IS(SYS_mprotect, 1, 0),
        IS(SYS_pkey_mprotect, 0, 2),
        LOAD(args[2]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_ERRNO | EPERM)};

    install(program, 8);
    ready_and_spin();
}

static void without_executable_memory(void **state)
{
    struct remote_call map = {
        .number = SYS_mmap,
        .arguments = {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0}};
    int64_t result;

    victim = victim_start(deny_write_execute);
    assert_done(try_open());
    assert_done(injection_call(injection, &map, 1, NULL, 0, &why));
    assert_true(map.result > 0);
    assert_done(call(SYS_getpid, 0, &result));
    assert_int_equal(result, victim);
    map.arguments[2] = PROT_READ | PROT_EXEC;
    assert_int_equal(injection_call(injection, &map, 1, NULL, 0, &why), OUTCOME_NOT_POSSIBLE);
}

static void drop_capability(int number)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data))
        victim_fail();
    data[number / 32].effective &= ~(1u << number % 32);
    data[number / 32].permitted &= ~(1u << number % 32);
    if (syscall(SYS_capset, &header, data))
        victim_fail();
}

/* A looker without CAP_SYS_ADMIN, which tells what it was told. */
static void look_without_capability(void)
{
    struct target own = {.pidfd = -1};

    drop_capability(CAP_SYS_ADMIN);
    if (target_open(&own, &procfs, victim, &why) || target_stop(&own, &why) ||
        maps_read(&procfs, victim, &maps, &why))
        victim_fail();
    shared->error = injection_open(&injection, &own, &maps, &why);
    memcpy(shared->text, why.text, sizeof shared->text);
    target_resume(&own);
    shared->go = 1;
    for (;;)
        pause();
}

static void filters_that_cannot_be_read(void **state)
{
    if (geteuid() != 0) {
        print_message("# only root can do without a capability\n");
        skip();
    }
    victim = victim_start(filter_by_argument);
    victim_fork(look_without_capability);
    assert_true(wait_for_value(&shared->go, 1));
    assert_int_equal(shared->error, OUTCOME_NOT_POSSIBLE);
    memcpy(why.text, shared->text, sizeof why.text);
    assert_says("CAP_SYS_ADMIN");
}

#ifdef HAVE_SECCOMP
/*
 * What a container is allowed that Docker starts without capabilities:
 * profiles/seccomp/default.json of moby (2022), in short: here all that is in doubt is missing, so
 * that an allowed call is one of those.
 */
static void filter_as_docker(void)
{
    static const char *const allowed[] = {"accept4",
                                          "brk",
                                          "clock_nanosleep",
                                          "close",
                                          "dup",
                                          "epoll_wait",
                                          "exit",
                                          "exit_group",
                                          "fcntl",
                                          "fstat",
                                          "futex",
                                          "getpid",
                                          "getppid",
                                          "getrandom",
                                          "gettid",
                                          "ioctl",
                                          "kill",
                                          "lseek",
                                          "madvise",
                                          "mincore",
                                          "mmap",
                                          "mprotect",
                                          "mremap",
                                          "munmap",
                                          "nanosleep",
                                          "newfstatat",
                                          "openat",
                                          "pause",
                                          "poll",
                                          "prctl",
                                          "pread64",
                                          "prlimit64",
                                          "read",
                                          "readv",
                                          "restart_syscall",
                                          "rseq",
                                          "rt_sigaction",
                                          "rt_sigprocmask",
                                          "rt_sigreturn",
                                          "sched_yield",
                                          "select",
                                          "sigaltstack",
                                          "tgkill",
                                          "uname",
                                          "wait4",
                                          "write",
                                          "writev"};
    static const uint64_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    seccomp_arch_add(filter, SCMP_ARCH_X86);
    seccomp_arch_add(filter, SCMP_ARCH_X32);
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(allowed[i]), 0);
    for (size_t i = 0; i < 5; i++)
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                         SCMP_A0(SCMP_CMP_EQ, personalities[i]));
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, 40));
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                     SCMP_A0(SCMP_CMP_MASKED_EQ, 0x7e020000, 0));
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (seccomp_load(filter))
        _exit(1);
    ready_and_spin();
}

static void under_dockers_filter(void **state)
{
    int64_t result;

    victim = victim_start(filter_as_docker);
    assert_done(try_open());
    assert_done(call(SYS_getpid, 0, &result));
    assert_int_equal(result, victim);
    assert_done(call(SYS_personality, 0xffffffff, &result));
    assert_true(result >= 0);
    assert_done(call(SYS_madvise, 0, &result));
    assert_int_equal(call(SYS_personality, 0x40000, &result), OUTCOME_NOT_POSSIBLE);
    assert_int_equal(call(SYS_process_madvise, 0, &result), OUTCOME_NOT_POSSIBLE);
    assert_says("seccomp filter");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        injection_test(strict_seccomp),
        injection_test(calls_are_asked_for_with_their_arguments),
        injection_test(the_way_back_must_be_allowed),
        injection_test(without_executable_memory),
        injection_test(filters_that_cannot_be_read),
#ifdef HAVE_SECCOMP
        injection_test(under_dockers_filter),
#endif
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
