#include "cmd/progress-line.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/format.h"
#include "cmd/cmd.h"
#include "report/foreign.h"

#define FIRST_NS  NS_PER_S
#define REPEAT_NS (NS_PER_S / 4)

enum { DEFAULT_COLUMNS = 80 };

static size_t columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
                                                                       : DEFAULT_COLUMNS;
}

/* A background job must not write: with "stty tostop" it would be stopped for it. */
static bool may_write(void)
{
    return tcgetpgrp(STDERR_FILENO) == getpgrp();
}

/* "task: phase, 1.2 of 4.0 GiB" */
static void compose(struct progress_line *line, char *text, size_t size)
{
    const char *phase = atomic_load(&line->phase);
    uint64_t done = atomic_load(&line->done), total = atomic_load(&line->total);
    size_t length;

    pthread_mutex_lock(&line->lock);
    snprintf(text, size, "%s", line->task);
    pthread_mutex_unlock(&line->lock);
    length = strlen(text);
    if (phase)
        snprintf(text + length, size - length, "%s%s", length ? ": " : "", phase);
    length = strlen(text);
    if (phase && total)
        snprintf(text + length, size - length, ", %s",
                 format_bytes_of(done < total ? done : total, total).text);
}

/* In one write, so that it does not mix with other output. */
static void paint(struct progress_line *line)
{
    char text[320];
    auto_free char *bytes = NULL;
    size_t size = 0;
    FILE *out;

    if (!may_write())
        return;
    compose(line, text, sizeof text);
    out = open_memstream(&bytes, &size);
    if (!out)
        return;
    fputs("\r\x1b[K", out);
    foreign_print(out, text, columns() - 1, use_utf8());
    if (fclose(out) == 0 && bytes && write(STDERR_FILENO, bytes, size) < 0)
        return;
}

static void wipe(void)
{
    if (may_write() && write(STDERR_FILENO, "\r\x1b[K", 4) < 0)
        return;
}

static struct timespec time_in(uint64_t ns)
{
    uint64_t at = clock_now_ns() + ns;

    return (struct timespec){.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
}

/* False when it is time to end. */
static bool wait_for(struct progress_line *line, uint64_t ns)
{
    struct timespec until = time_in(ns);
    bool ended;

    pthread_mutex_lock(&line->lock);
    while (!line->ended && pthread_cond_timedwait(&line->wake, &line->lock, &until) == 0)
        continue;
    ended = line->ended;
    pthread_mutex_unlock(&line->lock);
    return !ended;
}

static void *show(void *context)
{
    struct progress_line *line = context;
    bool painted = false;

    for (uint64_t ns = FIRST_NS; wait_for(line, ns); ns = REPEAT_NS) {
        paint(line);
        painted = true;
    }
    if (painted)
        wipe();
    return NULL;
}

static int start_thread(struct progress_line *line)
{
    sigset_t all, old;
    int r;

    /* No signal may stop or end this thread in the middle of a write, and through it all of us. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&line->thread, NULL, show, line);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

void progress_line_begin(struct progress_line *line, bool wanted)
{
    const char *terminal = getenv("TERM");
    pthread_condattr_t attributes;

    memset(line, 0, sizeof *line);
    if (!wanted || !isatty(STDERR_FILENO) || !terminal || strcmp(terminal, "dumb") == 0)
        return;
    pthread_mutex_init(&line->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&line->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    line->running = start_thread(line) == 0;
}

void progress_line_task(struct progress_line *line, const char *format, ...)
{
    va_list args;

    if (!line->running)
        return;
    atomic_store(&line->phase, NULL);
    pthread_mutex_lock(&line->lock);
    va_start(args, format);
    vsnprintf(line->task, sizeof line->task, format, args);
    va_end(args);
    pthread_mutex_unlock(&line->lock);
}

static void tell(void *context, const char *phase, uint64_t done, uint64_t total)
{
    struct progress_line *line = context;

    atomic_store(&line->done, done);
    atomic_store(&line->total, total);
    atomic_store(&line->phase, phase);
}

struct progress progress_line_interface(struct progress_line *line)
{
    return line->running ? (struct progress){.tell = tell, .context = line} : (struct progress){0};
}

void progress_line_end(struct progress_line *line)
{
    if (!line->running)
        return;
    pthread_mutex_lock(&line->lock);
    line->ended = true;
    pthread_cond_signal(&line->wake);
    pthread_mutex_unlock(&line->lock);
    pthread_join(line->thread, NULL);
    pthread_cond_destroy(&line->wake);
    pthread_mutex_destroy(&line->lock);
    line->running = false;
}
