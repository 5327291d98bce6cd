/* Signals: each arrives once, on the stack that was asked for, ends the wait it has to end, and
 * leaves the mask alone. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

#include "chaos.h"

static volatile sig_atomic_t taken;
static unsigned char own_stack[64 * 1024];
static int acknowledged[2];   /* to the helper: a signal was taken */
static sigset_t inner, outer; /* masks during the waits, and outside of them */

static void on_signal(int number)
{
    char here;

    check(&here >= (char *)own_stack && &here < (char *)own_stack + sizeof own_stack);
    taken++;
}

static void check_unchanged(void)
{
    sigset_t mask;
    stack_t stack;

    check(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
    check(memcmp(&mask, &outer, 8) == 0);
    check(sigaltstack(NULL, &stack) == 0);
    check(stack.ss_sp == own_stack && stack.ss_size == sizeof own_stack && stack.ss_flags == 0);
}

static void take_signals(int number, int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | flags};
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};

    check(sigaltstack(&stack, NULL) == 0);
    check(sigaction(number, &action, NULL) == 0);
    check(sigprocmask(SIG_SETMASK, NULL, &outer) == 0);
}

/* One at a time: the next is sent when the one before was taken. */
static void send_one(void)
{
    char byte;

    if (kill(getppid(), SIGUSR1) || read(acknowledged[0], &byte, 1) != 1)
        _exit(1);
    sleep_us(200);
}

static void begin_masked(void)
{
    check(pipe(acknowledged) == 0);
    sigemptyset(&inner);
    sigemptyset(&outer);
    sigaddset(&outer, SIGUSR1);
    sigaddset(&outer, SIGUSR2);
    check(sigprocmask(SIG_BLOCK, &outer, NULL) == 0);
    take_signals(SIGUSR1, 0);
    start_helper(send_one);
}

static void acknowledge(int before)
{
    check(taken == before + 1);
    check_unchanged();
    check(write(acknowledged[1], "", 1) == 1);
}

static void suspend_round(void)
{
    int before = taken;

    check(sigsuspend(&inner) < 0 && errno == EINTR);
    acknowledge(before);
}

static void ppoll_round(void)
{
    int before = taken;

    check(ppoll(NULL, 0, NULL, &inner) < 0 && errno == EINTR);
    acknowledge(before);
}

static void pselect_round(void)
{
    struct timespec limit = {.tv_sec = 60};
    int before = taken;

    check(pselect(0, NULL, NULL, NULL, &limit, &inner) < 0 && errno == EINTR);
    acknowledge(before);
}

/* sigwaitinfo may be told of the stop (EINTR). */
static void sigwait_round(void)
{
    int number;

    do {
        number = sigwaitinfo(&outer, NULL);
        check(number == SIGUSR1 || (number < 0 && errno == EINTR));
        shared->interrupted += number < 0;
    } while (number < 0);
    check_unchanged();
    check(write(acknowledged[1], "", 1) == 1);
}

static void begin_ticks(int flags)
{
    struct itimerval every = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};

    take_signals(SIGALRM, flags);
    check(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void begin_timer(void)
{
    begin_ticks(SA_RESTART);
}

static void timer_round(void)
{
    struct itimerval now;
    int before = taken;

    while (taken == before)
        ;
    check_unchanged();
    check(getitimer(ITIMER_REAL, &now) == 0 && now.it_interval.tv_usec == 1000);
}

static int silent[2]; /* nothing ever comes */

static void begin_interrupted(void)
{
    check(pipe(silent) == 0);
    begin_ticks(0);
}

/* Only a handled signal ends it. */
static void interrupted_read_round(void)
{
    int before = taken;
    char byte;

    check(read(silent[0], &byte, 1) < 0 && errno == EINTR);
    check(taken != before);
    check_unchanged();
}

static void pause_round(void)
{
    int before = taken;

    check(pause() < 0 && errno == EINTR);
    check(taken != before);
}

static unsigned long queued;

static void on_queued(int number, siginfo_t *info, void *context)
{
    check(info->si_code == SI_QUEUE && (unsigned long)info->si_value.sival_int == queued + 1);
    queued++;
}

static void queue_one(void)
{
    static int next;
    union sigval value = {.sival_int = ++next};

    while (sigqueue(getppid(), SIGRTMIN, value) < 0)
        if (errno != EAGAIN)
            _exit(1);
    if (next % 4 == 0)
        sleep_us(100);
}

static void begin_queue(void)
{
    struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};

    check(sigaction(SIGRTMIN, &action, NULL) == 0);
    start_helper(queue_one);
}

/* In order, and none is lost: the handler checks it. */
static void queue_round(void)
{
    unsigned long before = *(volatile unsigned long *)&queued;

    while (*(volatile unsigned long *)&queued == before)
        getppid();
}

const struct role signal_roles[] = {
    {"sigsuspend", suspend_round, begin_masked},
    {"ppoll", ppoll_round, begin_masked},
    {"pselect", pselect_round, begin_masked},
    {"sigwait", sigwait_round, begin_masked},
    {"timer", timer_round, begin_timer},
    {"interrupted-read", interrupted_read_round, begin_interrupted},
    {"pause", pause_round, begin_interrupted},
    {"queue", queue_round, begin_queue},
    {NULL, NULL, NULL},
};
