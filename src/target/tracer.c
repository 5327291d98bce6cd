#include "target/tracer.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { STACK_BYTES = 512 * 1024 };

#define LOOK_FOR_OWNER_NS (2 * NS_PER_MS)

struct tracer {
    pthread_t thread;
    pid_t tid;            /* of what traces */
    pid_t owner;          /* our process */
    _Atomic bool guarded; /* `tid` is a process */
    _Atomic bool ended;   /* it was asked to end */
    _Atomic bool gone;    /* it was killed */
    sem_t asked, answered;
    int (*function)(void *context); /* NULL: end */
    void *context;
    int result;
};

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

/*
 * A target with many running threads leaves this thread its fair share of the processor only, one
 * in a hundred perhaps, and each stop would last a hundred times as long (measured: 90 ms instead
 * of 1.6 with 200 threads on 2 processors). Where we may, we go first; where not, it works too.
 */
static void hurry(void)
{
    const struct sched_param lowest = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) < 0)
        setpriority(PRIO_PROCESS, 0, -20);
}

/* Within `ns`. */
static bool is_posted(sem_t *semaphore, uint64_t ns)
{
    struct timespec until;
    int r;

    clock_gettime(CLOCK_REALTIME, &until); /* sem_clockwait came with glibc 2.30 only */
    until.tv_nsec += (long)ns;
    until.tv_sec += until.tv_nsec / (long)NS_PER_S;
    until.tv_nsec %= (long)NS_PER_S;
    do {
        r = sem_timedwait(semaphore, &until);
    } while (r < 0 && errno == EINTR);
    return r == 0;
}

/* False when whoever asks is dead. */
static bool wait_to_be_asked(struct tracer *tracer)
{
    if (!tracer->guarded) {
        wait_for(&tracer->asked);
        return true;
    }
    while (!is_posted(&tracer->asked, LOOK_FOR_OWNER_NS))
        if (getppid() != tracer->owner)
            return false;
    return true;
}

static int serve(void *context)
{
    struct tracer *tracer = context;

    tracer->tid = (pid_t)syscall(SYS_gettid);
    prctl(PR_SET_NAME, "tracer");
    prctl(PR_SET_TIMERSLACK,
          1UL); /* waits for stops are some 20 us; the default slack alone is 50 */
    hurry();
    while (wait_to_be_asked(tracer)) {
        if (!tracer->function) {
            tracer->ended = true;
            return 0;
        }
        tracer->result = tracer->function(tracer->context);
        sem_post(&tracer->answered);
    }
    return 0;
}

static int serve_apart(void *context)
{
    setsid(); /* who kills our group does not mean it, nor does a terminal */
    return serve(context);
}

/*
 * A process as posix_spawn makes it before execve: it uses this thread's thread-local storage,
 * which waits in the kernel until it has ended (CLONE_VFORK). It is no thread of ours, so that a
 * SIGKILL to us is none to it; memory lasts as long as it does. False when there can be none.
 */
static bool trace_apart(struct tracer *tracer)
{
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pid_t pid;

    if (stack == MAP_FAILED)
        return false;
    tracer->owner = getpid();
    tracer->guarded = true;
    pid = clone(serve_apart, (char *)stack + STACK_BYTES,
                CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS, tracer);
    if (pid > 0)
        waitpid(pid, NULL, __WALL);
    munmap(stack, STACK_BYTES);
    tracer->guarded = pid > 0;
    return pid > 0;
}

static void *trace(void *context)
{
    struct tracer *tracer = context;

    if (!tracer->guarded || !trace_apart(tracer)) {
        serve(tracer);
        return NULL;
    }
    if (!tracer->ended) {
        tracer->result = -ESRCH;
        tracer->gone = true;
        sem_post(&tracer->answered);
    }
    return NULL;
}

bool tracer_is_guarded(const struct tracer *tracer)
{
    return tracer->guarded;
}

bool tracer_is_gone(const struct tracer *tracer)
{
    return tracer->gone;
}

void tracer_kill(struct tracer *tracer)
{
    if (tracer->guarded && !tracer->gone)
        kill(tracer->tid, SIGKILL);
}

/* Signals go to the caller's threads as before, and interrupt nothing here. */
static int start_without_signals(struct tracer *tracer)
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&tracer->thread, NULL, trace, tracer);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

int tracer_start(struct tracer **ret, bool guarded, struct why *why)
{
    struct tracer *tracer = calloc(1, sizeof *tracer);
    int r;

    if (!tracer)
        return why_set(why, -ENOMEM, "no memory for the tracing thread");
    tracer->guarded = guarded;
    sem_init(&tracer->asked, 0, 0);
    sem_init(&tracer->answered, 0, 0);
    r = start_without_signals(tracer);
    if (r) {
        free(tracer);
        return why_set(why, r, "the tracing thread cannot be started: %s", strerror(-r));
    }
    *ret = tracer;
    return 0;
}

int tracer_call(struct tracer *tracer, int (*function)(void *), void (*meanwhile)(void *),
                void *context)
{
    if (tracer->gone)
        return -ESRCH;
    tracer->function = function;
    tracer->context = context;
    sem_post(&tracer->asked);
    if (!meanwhile)
        wait_for(&tracer->answered);
    else
        while (!is_posted(&tracer->answered, 20 * NS_PER_MS))
            meanwhile(context);
    return tracer->result;
}

/*
 * pthread_join returns a little before the kernel detaches (exit_mm comes before exit_notify), and
 * a stop right after would find the process still traced. The thread's id vanishes after that: at
 * once as a rule, late on a loaded machine.
 */
static void wait_until_gone(pid_t tid)
{
    uint64_t deadline = clock_now_ns() + 5 * NS_PER_S;

    while (syscall(SYS_tgkill, getpid(), tid, 0) == 0 && clock_now_ns() < deadline)
        clock_sleep_ns(1000);
}

void tracer_end(struct tracer *tracer)
{
    tracer->function = NULL;
    sem_post(&tracer->asked);
    pthread_join(tracer->thread, NULL);
    if (!tracer->guarded) /* a process has been waited for */
        wait_until_gone(tracer->tid);
    sem_destroy(&tracer->asked);
    sem_destroy(&tracer->answered);
    free(tracer);
}
