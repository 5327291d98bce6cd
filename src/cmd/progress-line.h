/*
 * One line on standard error that says what takes so long: rewritten in place, only on a terminal, and only once a second
 * has passed. A thread of its own writes it: whoever holds a process still must not wait for a terminal.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/progress.h"

struct progress_line {
    bool running;
    pthread_t thread;
    pthread_mutex_t lock;         /* for `task` and `ended` */
    pthread_cond_t wake;
    char task[160];               /* "decoding 3 of 10: postgres 4242" */
    bool ended;
    _Atomic(const char *) phase;  /* "walking the heap"; NULL: none */
    _Atomic uint64_t done, total; /* bytes; total 0: no measure */
};

/* Starts it, or does nothing: not wanted, no terminal, no thread to be had. Must not move until progress_line_end. */
void progress_line_begin(struct progress_line *line, bool wanted);

/* What is being done, for all phases that follow; foreign bytes in it are printed escaped. Never call it from `tell`. */
void progress_line_task(struct progress_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What to hand to whoever does the work. */
struct progress progress_line_interface(struct progress_line *line);

/* Takes the line away again. */
void progress_line_end(struct progress_line *line);
