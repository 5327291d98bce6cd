/* Processes to look at, for the tests of this folder. They die with the test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "target/target.h"

enum { COUNTERS = 256 };

/* Seen by the test and by all it forks. */
struct shared {
    atomic_int ready, go, leave;
    atomic_int pid, error;
    atomic_ulong counters[COUNTERS];
    remote_addr addresses[32];
    char text[400];
};

extern struct shared *shared;
extern struct procfs procfs;
extern struct why why;
extern struct target target; /* the teardown closes it, also after a failure: a held victim cannot even die */

/* Group setup and teardown, and teardown of each test (ends what is left). */
int victims_group_setup(void **state);
int victims_group_teardown(void **state);
int victims_setup(void **state);
int victims_teardown(void **state);

/*
 * For victims that must share nothing with the test: executes this program again, with `role` and what
 * victims_attach needs as its arguments.
 */
void victim_execute(const char *role);
bool victims_attach(int argc, char **argv, const char *role);

/* Forks a process that runs `body` and exits with 0. The test fails unless it sets shared->ready. */
pid_t victim_start(void (*body)(void));
/* The same, without waiting for ready. */
pid_t victim_fork(void (*body)(void));
void victim_end(pid_t pid);

/* target_stop, again and again while it gives up: a loaded machine may not run a thread for 200 ms. */
int victim_stop(void);

/* For victims: ends this one, and has the test tell the sentence in `why`. */
void victim_fail(void);

/* Waits until the value is reached, 20 s at most: false then. */
bool wait_for_value(atomic_int *value, int reached);
/* Waits until each of the first counters has moved on, 20 s at most: false then. */
bool wait_for_motion(size_t counters);
bool wait_for_state(pid_t tid, const char *states);

char thread_state(pid_t tid);
pid_t thread_tracer(pid_t tid);

#define assert_done(expression)                                                                    \
    do {                                                                                           \
        int _r = (expression);                                                                     \
        if (_r)                                                                                    \
            fail_msg("%s: %d: %s", #expression, _r, why.text);                                     \
    } while (0)
