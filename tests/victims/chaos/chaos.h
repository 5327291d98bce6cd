/*
 * A process that notices whatever happens to it: its registers, its memory, its signals, what its system calls return.
 *
 * usage: chaos-victim ROLE FILE      FILE is mapped: struct shared
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { BUFFERS = 16, BUFFER_BYTES = 64 * 4096 };

struct shared {
    atomic_uint ready, leave;
    atomic_ulong progress;      /* rounds; must go on */
    atomic_ulong interrupted;   /* calls that returned EINTR and may, as after SIGSTOP and SIGCONT */
    char failure[200];          /* what was wrong, and then it ends with 1 */
    /* Of the role "buffers": what is not used holds nothing that matters. */
    atomic_ulong buffers;       /* the address of the first */
    atomic_uint used[BUFFERS];
};

extern struct shared *shared;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail("%s:%d: %s (errno %d)", __FILE__, __LINE__, #condition, errno);                   \
    } while (0)

struct role {
    const char *name;
    void (*round)(void); /* again and again, until it is to leave */
    void (*begin)(void); /* or NULL */
};

extern const struct role register_roles[], call_roles[], signal_roles[], thread_roles[]; /* each ends with a NULL name */

/* A child that runs `body` for ever and ends with this process. Its pid. */
int start_helper(void (*body)(void));
void sleep_us(long us);
