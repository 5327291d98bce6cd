#include "test-victim.h"

#include <errno.h>
#include <sys/prctl.h>

enum { MOST_VICTIMS = 64 };
static const uint64_t patience_ns = 20 * NS_PER_S;

struct shared *shared;
struct procfs procfs;
struct why why;
struct target target;

static pid_t victims[MOST_VICTIMS];
static char shared_fd[16]; /* inherited over execve */

static bool attach(int fd)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    snprintf(shared_fd, sizeof shared_fd, "%d", fd);
    return shared != MAP_FAILED;
}

bool victims_attach(int argc, char **argv, const char *role)
{
    return argc == 3 && strcmp(argv[1], role) == 0 && attach(atoi(argv[2]));
}

void victim_execute(const char *role)
{
    execl("/proc/self/exe", "residue-test-victim", role, shared_fd, NULL);
    _exit(1);
}

int victims_group_setup(void **state)
{
    int fd = memfd_create("shared", 0);

    if (fd < 0 || ftruncate(fd, sizeof *shared) < 0 || !attach(fd))
        return -1;
    return procfs_open(&procfs, "/", &why);
}

int victims_group_teardown(void **state)
{
    procfs_close(&procfs);
    return munmap(shared, sizeof *shared);
}

int victims_setup(void **state)
{
    memset(shared, 0, sizeof *shared);
    target = (struct target){.pidfd = -1};
    why.text[0] = 0;
    return 0;
}

int victims_teardown(void **state)
{
    target_close(&target);
    for (int i = 0; i < MOST_VICTIMS; i++)
        if (victims[i])
            victim_end(victims[i]);
    return 0;
}

static void run(void (*body)(void), pid_t test)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != test)
        _exit(1);
    body();
    _exit(0);
}

pid_t victim_fork(void (*body)(void))
{
    pid_t test = getpid(), pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run(body, test);
    for (int i = 0; i < MOST_VICTIMS; i++)
        if (!victims[i]) {
            victims[i] = pid;
            return pid;
        }
    fail_msg("too many victims");
    return pid;
}

pid_t victim_start(void (*body)(void))
{
    pid_t pid = victim_fork(body);

    if (!wait_for_value(&shared->ready, 1))
        fail_msg("the victim is not ready: %s", shared->text);
    return pid;
}

void victim_end(pid_t pid)
{
    for (int i = 0; i < MOST_VICTIMS; i++)
        if (victims[i] == pid) {
            victims[i] = 0;
            kill(pid, SIGKILL);
            waitpid(pid, NULL, __WALL);
        }
}

int victim_stop(void)
{
    int r = -ETIMEDOUT;

    for (int tries = 0; r == -ETIMEDOUT && tries < 100; tries++)
        r = target_stop(&target, &why);
    return r;
}

void victim_fail(void)
{
    memcpy(shared->text, why.text, sizeof shared->text);
    _exit(1);
}

bool wait_for_value(atomic_int *value, int reached)
{
    uint64_t deadline = clock_now_ns() + patience_ns;

    while (*value < reached && clock_now_ns() < deadline)
        clock_sleep_ns(NS_PER_MS / 10);
    return *value >= reached;
}

bool wait_for_motion(size_t counters)
{
    uint64_t deadline = clock_now_ns() + patience_ns;
    unsigned long before[COUNTERS];

    for (size_t i = 0; i < counters; i++)
        before[i] = shared->counters[i];
    for (size_t i = 0; i < counters; i++)
        while (shared->counters[i] == before[i]) {
            if (clock_now_ns() >= deadline)
                return false;
            clock_sleep_ns(NS_PER_MS / 10);
        }
    return true;
}

bool wait_for_state(pid_t tid, const char *states)
{
    uint64_t deadline = clock_now_ns() + patience_ns;

    while (!strchr(states, thread_state(tid)) && clock_now_ns() < deadline)
        clock_sleep_ns(NS_PER_MS / 10);
    return strchr(states, thread_state(tid)) != NULL;
}

char thread_state(pid_t tid)
{
    struct process_status status;

    return status_read(&procfs, tid, &status, NULL) == 0 ? status.state : '?';
}

pid_t thread_tracer(pid_t tid)
{
    struct process_status status;

    return status_read(&procfs, tid, &status, NULL) == 0 ? status.tracer_pid : -1;
}
