/*
 * Calls that a stop interrupts. What SIGSTOP and SIGCONT show of it, by signal(7) and by measuring
 * (tests/integration): nothing, but for epoll_wait, sigtimedwait, and recv with a time limit, which
 * return EINTR.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"

enum { PAUSE_US = 300, LIMIT_US = 700 };

static int ends[2]; /* a pipe on which the helper counts */
static unsigned char expected;

static void write_numbers(void)
{
    static unsigned char next;

    sleep_us(PAUSE_US);
    if (write(ends[1], &next, 1) != 1)
        _exit(1);
    next++;
}

static void begin_pipe(void)
{
    check(pipe2(ends, O_CLOEXEC) == 0);
    start_helper(write_numbers);
}

static void take_number(void)
{
    unsigned char byte;

    check(read(ends[0], &byte, 1) == 1);
    check(byte == expected);
    expected++;
}

static void poll_round(void)
{
    struct pollfd what = {.fd = ends[0], .events = POLLIN};

    check(poll(&what, 1, -1) == 1);
    take_number();
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* With a limit: whichever comes first, and never early. */
static void limited_poll_round(void)
{
    struct pollfd what = {.fd = ends[0], .events = POLLIN};
    uint64_t begin = now_us();
    int r = poll(&what, 1, 1);

    check(r == 0 || r == 1);
    check(r == 1 || now_us() - begin >= 1000);
    if (r)
        take_number();
}

static void select_round(void)
{
    struct timeval limit = {.tv_usec = LIMIT_US};
    uint64_t begin = now_us();
    fd_set set;
    int r;

    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    r = select(ends[0] + 1, &set, NULL, NULL, &limit);
    check(r == 0 || r == 1);
    check(r == 1 || now_us() - begin >= LIMIT_US);
    if (r)
        take_number();
}

static void epoll_round(void)
{
    static int epoll = -1;
    struct epoll_event event = {.events = EPOLLIN};
    int r;

    if (epoll < 0) {
        epoll = epoll_create1(EPOLL_CLOEXEC);
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    }
    r = epoll_wait(epoll, &event, 1, -1);
    check(r == 1 || (r < 0 && errno == EINTR));
    if (r == 1)
        take_number();
    else
        shared->interrupted++;
}

static void sleep_round(void)
{
    struct timespec wait = {.tv_nsec = LIMIT_US * 1000};
    uint64_t begin = now_us();

    check(clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL) == 0);
    check(now_us() - begin >= LIMIT_US);
}

static void absolute_sleep_round(void)
{
    struct timespec until;
    uint64_t begin = now_us();

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LIMIT_US * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
    check(now_us() - begin >= LIMIT_US);
}

static int pair[2];

static void echo(void)
{
    char byte;

    if (recv(pair[1], &byte, 1, 0) != 1)
        _exit(1);
    sleep_us(PAUSE_US);
    if (send(pair[1], &byte, 1, 0) != 1)
        _exit(1);
}

static void begin_pair(void)
{
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    start_helper(echo);
}

static void receive_round(void)
{
    static char next;
    char byte;

    check(send(pair[0], &next, 1, 0) == 1);
    check(recv(pair[0], &byte, 1, 0) == 1);
    check(byte == next);
    next++;
}

static void wait_round(void)
{
    int status;
    pid_t pid = fork();

    check(pid >= 0);
    if (pid == 0) {
        sleep_us(PAUSE_US);
        _exit(42);
    }
    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void vfork_round(void)
{
    int status;
    pid_t pid = vfork();

    check(pid >= 0);
    if (pid == 0)
        _exit(43);
    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 43);
}

static void exec_round(void)
{
    int status;
    pid_t pid = vfork();

    check(pid >= 0);
    if (pid == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static sem_t there, back;

static void *answer(void *context)
{
    for (;;) {
        check(sem_wait(&there) == 0);
        check(sem_post(&back) == 0);
    }
    return NULL;
}

static void begin_semaphores(void)
{
    pthread_t thread;

    sem_init(&there, 0, 0);
    sem_init(&back, 0, 0);
    check(pthread_create(&thread, NULL, answer, NULL) == 0);
}

static void semaphore_round(void)
{
    struct timespec until;

    check(sem_post(&there) == 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    check(sem_timedwait(&back, &until) == 0);
}

const struct role call_roles[] = {
    {"read", take_number, begin_pipe},
    {"poll", poll_round, begin_pipe},
    {"limited-poll", limited_poll_round, begin_pipe},
    {"select", select_round, begin_pipe},
    {"epoll", epoll_round, begin_pipe},
    {"sleep", sleep_round, NULL},
    {"absolute-sleep", absolute_sleep_round, NULL},
    {"receive", receive_round, begin_pair},
    {"wait", wait_round, NULL},
    {"vfork", vfork_round, NULL},
    {"exec", exec_round, NULL},
    {"semaphore", semaphore_round, begin_semaphores},
    {NULL, NULL, NULL},
};
