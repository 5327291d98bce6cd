#include "test-victim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "base/cleanup.h"

enum { THREADS = 200 };

static void *count(void *context)
{
    for (;;)
        ++*(atomic_ulong *)context;
    return NULL;
}

static void *count_slowly(void *context)
{
    for (;;) {
        ++*(atomic_ulong *)context;
        clock_sleep_ns(NS_PER_MS);
    }
    return NULL;
}

static void count_alone(void)
{
    shared->ready = 1;
    count(&shared->counters[0]);
}

static void count_in_threads(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (int i = 1; i <= THREADS; i++)
        if (pthread_create(&thread, &attributes, i % 50 ? count_slowly : count,
                           &shared->counters[i]))
            _exit(1);
    shared->ready = 1;
    count(&shared->counters[0]);
}

static void let_others_run(void)
{
    clock_sleep_ns(20 * NS_PER_MS);
}

static void assert_nothing_runs(void)
{
    static unsigned long before[COUNTERS];

    for (int i = 0; i < COUNTERS; i++)
        before[i] = shared->counters[i];
    let_others_run();
    for (int i = 0; i < COUNTERS; i++)
        assert_int_equal(shared->counters[i], before[i]);
}

static void assert_goes_on(pid_t pid)
{
    assert_int_equal(thread_tracer(pid), 0);
    assert_true(wait_for_motion(1));
}

static void holds_every_thread(void **state)
{
    pid_t pid = victim_start(count_in_threads);

    assert_done(target_open(&target, &procfs, pid, &why));
    for (unsigned round = 1; round <= 5; round++) {
        assert_done(victim_stop());
        assert_true(target.stopped);
        assert_int_equal(target.thread_count, THREADS + 1);
        for (size_t i = 0; i < target.thread_count; i++) {
            assert_true(target.threads[i].has_registers);
            assert_int_not_equal(target.threads[i].registers.rip, 0);
            assert_int_not_equal(target.threads[i].registers.fs_base, 0);
            assert_true(i == 0 || target.threads[i - 1].tid < target.threads[i].tid);
        }
        assert_nothing_runs();
        target_resume(&target);
        assert_true(target.pauses.count >= round);
        assert_true(wait_for_motion(THREADS + 1));
    }
    assert_true(target.pauses.longest_ns >= 20 * NS_PER_MS);
    assert_true(target.pauses.total_ns >= 5 * 20 * NS_PER_MS);
    assert_goes_on(pid);
    target_close(&target);
}

static void *count_once(void *context)
{
    ++shared->counters[0];
    return NULL;
}

static void bear_threads(void)
{
    pthread_t thread;

    shared->ready = 1;
    for (;;)
        if (pthread_create(&thread, NULL, count_once, NULL) == 0)
            pthread_detach(thread);
}

static void holds_while_threads_are_born_and_die(void **state)
{
    pid_t pid = victim_start(bear_threads);

    assert_done(target_open(&target, &procfs, pid, &why));
    for (int round = 0; round < 100; round++) {
        auto_free pid_t *tids = NULL;
        size_t tid_count;

        assert_done(victim_stop());
        assert_done(procfs_list_tasks(&procfs, pid, &tids, &tid_count));
        for (size_t i = 0, k = 0; i < tid_count; i++) {
            while (k < target.thread_count && target.threads[k].tid < tids[i])
                k++;
            if (k == target.thread_count || target.threads[k].tid != tids[i])
                assert_int_equal(thread_state(tids[i]), 'Z');
        }
        if (round % 10 == 0)
            assert_nothing_runs();
        target_resume(&target);
        assert_goes_on(pid);
    }
    target_close(&target);
}

static void leaves_job_control_alone(void **state)
{
    pid_t pid = victim_start(count_alone);
    int status;

    assert_done(target_open(&target, &procfs, pid, &why));
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    for (int round = 0; round < 50; round++) {
        assert_done(victim_stop());
        target_resume(&target);
        assert_true(wait_for_state(pid, "T"));
        if (round % 10 == 0)
            assert_nothing_runs();
    }
    assert_int_equal(waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED), 0);
    kill(pid, SIGCONT);
    assert_goes_on(pid);
    assert_int_equal(waitpid(pid, &status, WCONTINUED), pid);
    target_close(&target);
}

static void job_control_works_while_held(void **state)
{
    pid_t pid = victim_start(count_in_threads);

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    kill(pid, SIGSTOP);
    target_resume(&target);
    assert_true(wait_for_state(pid, "T"));
    assert_nothing_runs();
    assert_done(victim_stop());
    kill(pid, SIGCONT);
    assert_nothing_runs();
    target_resume(&target);
    assert_goes_on(pid);
    assert_true(wait_for_motion(THREADS + 1));
    target_close(&target);
}

/* The child borrows the parent's memory; the parent waits in the kernel, where ptrace cannot stop
 * it. */
static void wait_in_vfork(void)
{
    if (vfork() == 0) {
        shared->ready = 1;
        while (!shared->leave)
            clock_sleep_ns(NS_PER_MS);
        _exit(0);
    }
    count(&shared->counters[0]);
}

static void gives_up_on_vfork(void **state)
{
    pid_t pid = victim_start(wait_in_vfork);
    char thread[32];

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_true(wait_for_state(pid, "D"));
    assert_int_equal(target_stop(&target, &why), -ETIMEDOUT);
    snprintf(thread, sizeof thread, "thread %d ", (int)pid);
    assert_non_null(strstr(why.text, thread));
    assert_non_null(strstr(why.text, "state is D"));
    assert_false(target.stopped);
    assert_int_equal(target.thread_count, 0);
    assert_int_equal(thread_tracer(pid), 0);
    shared->leave = 1;
    assert_goes_on(pid);
    let_others_run();
    assert_goes_on(pid);
    assert_done(victim_stop());
    assert_nothing_runs();
    target_close(&target);
    assert_goes_on(pid);
}

static void trace_pid(void)
{
    if (ptrace(PTRACE_SEIZE, shared->pid, 0, 0))
        _exit(1);
    shared->ready = 1;
    for (;;)
        pause();
}

static void names_another_tracer(void **state)
{
    pid_t pid = victim_start(count_in_threads), tracer;
    char name[32];

    shared->ready = 0;
    shared->pid = pid;
    tracer = victim_start(trace_pid);
    assert_done(target_open(&target, &procfs, pid, &why));
    assert_int_equal(target_stop(&target, &why), -EBUSY);
    snprintf(name, sizeof name, "process %d (", (int)tracer);
    assert_non_null(strstr(why.text, name));
    assert_int_equal(thread_tracer(pid), tracer);
    assert_true(wait_for_motion(THREADS + 1));
    victim_end(tracer);
    assert_done(victim_stop());
    target_close(&target);
    assert_goes_on(pid);
}

/* A leader is a zombie while its threads still hold the memory: it goes with the last of them. */
static bool memory_goes_away(void)
{
    uint64_t deadline = clock_now_ns() + 20 * NS_PER_S;
    uint8_t byte;

    while (memory_read(&target.memory.memory, (uintptr_t)&shared, &byte, 1, &why) == 0)
        if (clock_now_ns() >= deadline)
            return false;
    return true;
}

static void survives_the_death_of_its_target(void **state)
{
    pid_t pid = victim_start(count_in_threads);
    siginfo_t info;

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    kill(pid, SIGKILL);
    assert_true(wait_for_state(pid, "Z"));
    assert_true(memory_goes_away());
    target_resume(&target);
    /* How it ended is for its parent to learn: here, for us. */
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_code, CLD_KILLED);
    assert_int_equal(info.si_status, SIGKILL);
    assert_int_equal(target_stop(&target, &why), -ESRCH);
    target_close(&target);
}

static void start_grandchild(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        shared->pid = getpid();
        count_in_threads();
    }
    while (waitpid(pid, &status, 0) != pid)
        ;
    shared->error = status;
    shared->leave = 1;
    for (;;)
        pause();
}

static void its_parent_learns_of_its_death(void **state)
{
    victim_start(start_grandchild);
    assert_done(target_open(&target, &procfs, shared->pid, &why));
    assert_done(victim_stop());
    kill(shared->pid, SIGTERM);
    assert_nothing_runs();
    target_resume(&target);
    assert_true(wait_for_value(&shared->leave, 1));
    assert_true(WIFSIGNALED(shared->error));
    assert_int_equal(WTERMSIG(shared->error), SIGTERM);
    target_close(&target);
}

static void exit_soon(void)
{
    _exit(7);
}

static void takes_no_children_from_its_caller(void **state)
{
    pid_t pid = victim_start(count_in_threads), child = victim_fork(exit_soon);
    sigset_t before = {0}, after = {0};
    int status;

    assert_true(wait_for_state(child, "Z"));
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_memory_equal(&before, &after, sizeof before);
    target_close(&target);
    assert_int_equal(waitpid(child, &status, WNOHANG), child);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void hold_pid(void)
{
    if (target_open(&target, &procfs, shared->pid, &why) || victim_stop())
        victim_fail();
    shared->ready = 1;
    for (;;)
        pause();
}

static void target_survives_the_death_of_its_holder(void **state)
{
    pid_t pid = victim_start(count_in_threads);

    shared->pid = pid;
    for (int round = 0; round < 10; round++) {
        pid_t holder;

        shared->ready = 0;
        holder = victim_start(hold_pid);
        assert_nothing_runs();
        victim_end(holder);
        assert_true(wait_for_motion(THREADS + 1));
        assert_goes_on(pid);
    }
}

static void hold_and_release_pid(void)
{
    if (target_open(&target, &procfs, shared->pid, &why))
        victim_fail();
    for (;;) {
        if (victim_stop())
            victim_fail();
        shared->ready = 1;
        target_resume(&target);
    }
}

/* Killed at any instruction: while seizing, interrupting, waiting, holding or detaching. */
static void target_survives_a_holder_that_dies_anywhere(void **state)
{
    pid_t pid = victim_start(count_in_threads);

    shared->pid = pid;
    for (int round = 0; round < 100; round++) {
        pid_t holder;

        shared->ready = 0;
        holder = victim_start(hold_and_release_pid);
        clock_sleep_ns((uint64_t)(round * 37 % 101) * NS_PER_MS / 20);
        assert_int_equal(waitpid(holder, NULL, WNOHANG), 0);
        victim_end(holder);
        assert_true(wait_for_motion(THREADS + 1));
        assert_goes_on(pid);
    }
}

static void refuses_what_makes_no_sense(void **state)
{
    pid_t pid = victim_start(count_alone);

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_int_equal(target_on_tracer(&target, NULL, NULL), -EINVAL);
    assert_done(victim_stop());
    assert_int_equal(target_stop(&target, &why), -EALREADY);
    assert_true(target.stopped);
    target_close(&target);
    assert_goes_on(pid);
    assert_done(target_open(&target, &procfs, getpid(), &why));
    assert_int_equal(target_stop(&target, &why), OUTCOME_NOT_POSSIBLE);
    target_close(&target);
}

static int read_rip(void *context)
{
    const struct target *held = context;
    struct user_regs_struct registers;

    if (ptrace(PTRACE_GETREGS, held->pid, 0, &registers))
        return -errno;
    return registers.rip == held->threads[0].registers.rip ? 17 : -EIO;
}

static void traces_on_request(void **state)
{
    pid_t pid = victim_start(count_alone);

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    assert_int_equal(target_on_tracer(&target, read_rip, &target), 17);
    target_close(&target);
    assert_goes_on(pid);
}

static void *exit_when_told(void *context)
{
    shared->ready = 1;
    while (!shared->go)
        ;
    pthread_exit(NULL);
}

static void lose_the_leader(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, count, &shared->counters[0]);
    exit_when_told(NULL);
}

static void tells_when_the_leader_has_exited(void **state)
{
    pid_t pid = victim_start(lose_the_leader);

    assert_done(target_open(&target, &procfs, pid, &why));
    shared->go = 1;
    assert_true(wait_for_state(pid, "Z"));
    assert_int_equal(target_stop(&target, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "main thread"));
    target_close(&target);
    assert_true(wait_for_motion(1));
}

/* In the role "execute", this program is a victim that executes itself for ever, each time from a
 * thread. */
static void *execute_again(void *context)
{
    clock_sleep_ns(shared->counters[0] % 4 * NS_PER_MS);
    victim_execute("execute");
    return NULL;
}

static void execute_for_ever(void)
{
    pthread_t thread;

    ++shared->counters[0];
    shared->ready = 1;
    for (int i = 1; i < 40; i++)
        pthread_create(&thread, NULL, count_slowly, &shared->counters[i]);
    pthread_create(&thread, NULL, execute_again, NULL);
    count(&shared->counters[40]);
}

static void start_executing(void)
{
    execute_again(NULL);
}

static void holds_a_process_that_executes_programs(void **state)
{
    unsigned held = 0;
    pid_t pid;

    pid = victim_start(start_executing);
    for (int round = 0; round < 300; round++) {
        int r = target_open(&target, &procfs, pid, &why);

        /* Between two programs it may seem to have no memory, or no leader. */
        if (r == -ESRCH || r == OUTCOME_NOT_POSSIBLE)
            continue;
        assert_done(r);
        clock_sleep_ns((uint64_t)(round % 20) * NS_PER_MS / 20);
        r = victim_stop();
        if (r == 0) {
            held++;
            if (round % 10 == 0)
                assert_nothing_runs();
        } else if (r != -ESRCH) {
            fail_msg("%d: %s", r, why.text);
        }
        target_close(&target);
        assert_goes_on(pid);
    }
    assert_int_not_equal(held, 0);
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        victim_test(holds_every_thread),
        victim_test(holds_while_threads_are_born_and_die),
        victim_test(leaves_job_control_alone),
        victim_test(job_control_works_while_held),
        victim_test(gives_up_on_vfork),
        victim_test(names_another_tracer),
        victim_test(survives_the_death_of_its_target),
        victim_test(its_parent_learns_of_its_death),
        victim_test(takes_no_children_from_its_caller),
        victim_test(target_survives_the_death_of_its_holder),
        victim_test(target_survives_a_holder_that_dies_anywhere),
        victim_test(refuses_what_makes_no_sense),
        victim_test(traces_on_request),
        victim_test(tells_when_the_leader_has_exited),
        victim_test(holds_a_process_that_executes_programs),
    };

    if (victims_attach(argc, argv, "execute"))
        execute_for_ever();
    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
