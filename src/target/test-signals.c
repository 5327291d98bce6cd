/*
 * Signals that arrive while a process is being stopped, held and let go reach it exactly once, in
 * order, with what their sender attached; also when the holder is killed meanwhile.
 */
#include "test-victim.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

enum { ROUNDS = 2000 };

/* counters: [0] SIGRTMIN received, [1] out of order or not as sent, [2] SIGUSR1 received, [3]
 * progress, [4] sent */
static void on_queued(int number, siginfo_t *info, void *context)
{
    unsigned long expected = shared->counters[0] + 1;

    if (info->si_code != SI_QUEUE || info->si_pid != shared->pid ||
        (unsigned long)info->si_value.sival_int != expected)
        shared->counters[1]++;
    shared->counters[0]++;
}

static void on_user(int number)
{
    shared->counters[2]++;
}

static void handle_signals(void)
{
    struct sigaction queued = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};

    sigaction(SIGRTMIN, &queued, NULL);
    sigaction(SIGUSR1, &user, NULL);
}

static void spin(void)
{
    handle_signals();
    shared->ready = 1;
    for (;;)
        shared->counters[3]++;
}

static void sleep_for_ever(void)
{
    handle_signals();
    shared->ready = 1;
    for (;;)
        pause();
}

static void *spin_in_thread(void *context)
{
    for (;;)
        shared->counters[3]++;
    return NULL;
}

/* Any of the threads may take a signal, so their order is not kept; each still comes once. */
static void spin_in_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 8; i++)
        pthread_create(&thread, NULL, spin_in_thread, NULL);
    spin();
}

static pid_t victim;
static unsigned held_with_signal; /* threads that were stopped while a signal was being delivered */

static void queue_signal(void)
{
    union sigval value = {.sival_int = (int)shared->counters[4] + 1};

    while (sigqueue(victim, SIGRTMIN, value) < 0)
        if (errno != EAGAIN)
            _exit(1);
    shared->counters[4]++;
}

static void send_for_ever(void)
{
    shared->pid = getpid();
    while (!shared->leave) {
        queue_signal();
        if (shared->counters[4] % 16 == 0)
            clock_sleep_ns(10000);
    }
    shared->go = 1;
    for (;;)
        pause();
}

static void start(void (*body)(void))
{
    victim = victim_start(body);
    victim_fork(send_for_ever);
}

static void assert_all_received(void)
{
    uint64_t deadline = clock_now_ns() + 20 * NS_PER_S;

    shared->leave = 1;
    assert_true(wait_for_value(&shared->go, 1));
    while (shared->counters[0] < shared->counters[4] && clock_now_ns() < deadline)
        clock_sleep_ns(NS_PER_MS);
    clock_sleep_ns(20 * NS_PER_MS);
    assert_int_equal(shared->counters[0], shared->counters[4]);
}

static void stop_many_times(unsigned rounds)
{
    assert_done(target_open(&target, &procfs, victim, &why));
    for (unsigned i = 0; i < rounds; i++) {
        assert_done(victim_stop());
        for (size_t k = 0; k < target.thread_count; k++)
            held_with_signal += target.threads[k].signal != 0;
        target_resume(&target);
    }
}

static void a_running_process_gets_each_once(void **state)
{
    start(spin);
    stop_many_times(ROUNDS);
    assert_all_received();
    assert_int_equal(shared->counters[1], 0);
}

static void a_sleeping_process_gets_each_once(void **state)
{
    start(sleep_for_ever);
    stop_many_times(ROUNDS);
    assert_all_received();
    assert_int_equal(shared->counters[1], 0);
}

static void a_threaded_process_gets_each_once(void **state)
{
    start(spin_in_threads);
    stop_many_times(ROUNDS / 4);
    assert_all_received();
    print_message("# %u threads held while a signal was being delivered\n", held_with_signal);
}

/* Standard signals do not queue: each is sent when the one before has arrived. */
static void *send_user_signals(void *context)
{
    for (unsigned long sent = 0; !shared->leave; sent = ++*(unsigned long *)context) {
        uint64_t deadline = clock_now_ns() + 20 * NS_PER_S;

        kill(victim, SIGUSR1);
        while (shared->counters[2] == sent && clock_now_ns() < deadline)
            clock_sleep_ns(1000);
        if (shared->counters[2] != sent + 1)
            return &victim;
    }
    return NULL;
}

static void standard_signals_arrive_once(void **state)
{
    unsigned long sent = 0;
    pthread_t sender;
    void *problem;

    victim = victim_start(spin);
    assert_int_equal(pthread_create(&sender, NULL, send_user_signals, &sent), 0);
    assert_done(target_open(&target, &procfs, victim, &why));
    for (unsigned i = 0; i < ROUNDS; i++) {
        int r = victim_stop();

        if (r) {
            shared->leave = 1;
            pthread_join(sender, NULL);
        }
        assert_done(r);
        target_resume(&target);
    }
    shared->leave = 1;
    pthread_join(sender, &problem);
    assert_null(problem);
    assert_int_equal(shared->counters[2], sent);
}

static void signals_wait_while_it_is_held(void **state)
{
    victim = victim_start(sleep_for_ever);
    shared->pid = getpid();
    assert_done(target_open(&target, &procfs, victim, &why));
    assert_done(victim_stop());
    for (int i = 0; i < 100; i++)
        queue_signal();
    clock_sleep_ns(20 * NS_PER_MS);
    assert_int_equal(shared->counters[0], 0);
    target_resume(&target);
    shared->go = 1;
    assert_all_received();
    assert_int_equal(shared->counters[1], 0);
}

static void hold_again_and_again(void)
{
    if (target_open(&target, &procfs, victim, &why))
        victim_fail();
    for (;;) {
        if (victim_stop())
            victim_fail();
        shared->ready = 1;
        clock_sleep_ns(NS_PER_MS / 10);
        target_resume(&target);
    }
}

static void a_killed_holder_loses_none(void **state)
{
    start(spin);
    for (int i = 0; i < 200; i++) {
        pid_t holder;

        shared->ready = 0;
        holder = victim_start(hold_again_and_again);
        clock_sleep_ns((uint64_t)(i * 37 % 101) * NS_PER_MS / 50);
        assert_int_equal(waitpid(holder, NULL, WNOHANG), 0);
        victim_end(holder);
    }
    assert_all_received();
    assert_int_equal(shared->counters[1], 0);
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(a_running_process_gets_each_once),
        victim_test(a_sleeping_process_gets_each_once),
        victim_test(a_threaded_process_gets_each_once),
        victim_test(standard_signals_arrive_once),
        victim_test(signals_wait_while_it_is_held),
        victim_test(a_killed_holder_loses_none),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
