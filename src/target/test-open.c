#include "test-victim.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void wait_for_ever(void)
{
    shared->ready = 1;
    for (;;)
        pause();
}

static void opens_a_process(void **state)
{
    pid_t pid = victim_start(wait_for_ever);

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_int_equal(target.pid, pid);
    assert_int_equal(target.status.ppid, getpid());
    assert_true(target.has_memory);
    assert_false(target.stopped);
    assert_true(target_is_same(&target));
    assert_int_equal(target.pauses.count, 0);
    target_resume(&target);
    target_close(&target);
    assert_int_equal(thread_tracer(pid), 0);
}

static void leave(void) {}

static void refuses_what_does_not_exist(void **state)
{
    pid_t gone = victim_fork(leave);
    const pid_t pids[] = {gone, 0, -1, INT32_MAX};

    victim_end(gone);
    for (unsigned i = 0; i < sizeof pids / sizeof *pids; i++) {
        assert_int_equal(target_open(&target, &procfs, pids[i], &why), -ESRCH);
        assert_string_not_equal(why.text, "");
    }
}

static void refuses_zombies(void **state)
{
    pid_t pid = victim_fork(leave);

    assert_true(wait_for_state(pid, "Z"));
    assert_int_equal(target_open(&target, &procfs, pid, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "waits for its parent"));
}

static void *wait_in_thread(void *context)
{
    wait_for_ever();
    return NULL;
}

static void exit_from_main_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, wait_in_thread, NULL);
    pthread_exit(NULL);
}

static void refuses_a_leader_that_has_exited(void **state)
{
    pid_t pid = victim_start(exit_from_main_thread);

    assert_true(wait_for_state(pid, "Z"));
    assert_int_equal(target_open(&target, &procfs, pid, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "main thread"));
}

static void refuses_kernel_threads(void **state)
{
    struct process_status status;

    if (status_read(&procfs, 2, &status, NULL) || strcmp(status.comm, "kthreadd") != 0)
        skip();
    assert_int_equal(target_open(&target, &procfs, 2, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "kernel thread"));
}

static void *tell_tid(void *context)
{
    shared->pid = (int)syscall(SYS_gettid);
    wait_for_ever();
    return NULL;
}

static void wait_with_a_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, tell_tid, NULL);
    for (;;)
        pause();
}

static void refuses_thread_ids(void **state)
{
    char process[32];

    snprintf(process, sizeof process, "process %d ", (int)victim_start(wait_with_a_thread));
    assert_int_equal(target_open(&target, &procfs, shared->pid, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, process));
}

/* The processes below look at their parent, the test, and tell what came of it. */
static void open_parent_as_nobody(void)
{

    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* cleared by setresuid */
    shared->error = target_open(&target, &procfs, getppid(), &why);
    memcpy(shared->text, why.text, sizeof shared->text);
    wait_for_ever();
}

static void needs_permission(void **state)
{
    if (geteuid() != 0)
        skip();
    victim_start(open_parent_as_nobody);
    assert_int_equal(shared->error, -EACCES);
    assert_string_not_equal(shared->text, "");
}

static void stop_parent_as_nobody(void)
{
    if (target_open(&target, &procfs, getppid(), &why) || setresuid(65534, 65534, 65534))
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    shared->error = target_stop(&target, &why);
    memcpy(shared->text, why.text, sizeof shared->text);
    wait_for_ever();
}

static void needs_permission_to_stop(void **state)
{
    if (geteuid() != 0)
        skip();
    victim_start(stop_parent_as_nobody);
    assert_int_equal(shared->error, -EPERM);
    assert_non_null(strstr(shared->text, "CAP_SYS_PTRACE"));
    assert_int_equal(thread_tracer(getpid()), 0);
}

#define REFUSE(call, error)                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1),                                         \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

static int refuse_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(pidfd_open, ENOSYS),
        REFUSE(pidfd_send_signal, ENOSYS),
        REFUSE(process_vm_readv, EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int use_with_few_calls(pid_t pid)
{
    uint64_t word = 0;
    int r = target_open(&target, &procfs, pid, &why);

    if (r)
        return r;
    if (target.pidfd != -1 || target.start_time == 0 || !target.memory.only_mem_fd)
        return 1001;
    r = victim_stop();
    if (r)
        return r;
    r = memory_read_u64(&target.memory.memory, (uintptr_t)&why, &word, &why);
    if (r)
        return r;
    target_resume(&target);
    kill(pid, SIGKILL);
    if (!wait_for_value(&shared->leave, 1)) /* the test has reaped it */
        return 1002;
    if (target_is_same(&target))
        return 1003;
    target_close(&target);
    return 0;
}

static void look_with_few_calls(void)
{
    shared->error = refuse_calls() ? 1000 : use_with_few_calls(shared->pid);
    memcpy(shared->text, why.text, sizeof shared->text);
    shared->go = 1;
    wait_for_ever();
}

static void works_without_pidfd_and_readv(void **state)
{
    pid_t pid = victim_start(wait_for_ever);

    shared->ready = 0;
    shared->pid = pid;
    victim_fork(look_with_few_calls);
    assert_true(wait_for_state(pid, "Z"));
    victim_end(pid);
    shared->leave = 1;
    assert_true(wait_for_value(&shared->go, 1));
    if (shared->error)
        fail_msg("%d: %s", shared->error, shared->text);
}

static void notices_that_the_process_is_another(void **state)
{
    pid_t pid = victim_start(wait_for_ever);

    assert_done(target_open(&target, &procfs, pid, &why));
    kill(pid, SIGKILL);
    assert_true(wait_for_state(pid, "Z"));
    assert_true(target_is_same(&target));
    victim_end(pid);
    assert_false(target_is_same(&target));
    assert_int_equal(target_stop(&target, &why), -ESRCH);
    target_close(&target);
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(opens_a_process),
        victim_test(refuses_what_does_not_exist),
        victim_test(refuses_zombies),
        victim_test(refuses_a_leader_that_has_exited),
        victim_test(refuses_kernel_threads),
        victim_test(refuses_thread_ids),
        victim_test(needs_permission),
        victim_test(needs_permission_to_stop),
        victim_test(works_without_pidfd_and_readv),
        victim_test(notices_that_the_process_is_another),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
