/*
 * Settings of glibc's malloc that a process was started with, compared with what is in force in it.
 */
#pragma once

#include "heap/heap.h"
#include "procfs/environ.h"

enum in_force { IN_FORCE_UNKNOWN, IN_FORCE_NO, IN_FORCE_YES };

struct environment_setting {
    char name[64];          /* "MALLOC_ARENA_MAX"; of GLIBC_TUNABLES each part: "glibc.malloc.arena_max" */
    char *value;            /* foreign text */
    enum in_force in_force;
    char reason[240];       /* "" when in force: the likely reason why not, or why it cannot be known */
};

struct environment {
    struct environment_setting *items; /* in the environment's order */
    size_t count, capacity;
};

/* What is known of the process. All borrowed. */
struct environment_facts {
    const struct environ_variables *variables;
    const char *allocator;                /* who serves malloc; NULL where that is not known */
    const struct heap_settings *settings; /* NULL: glibc's are not known */
    const char *version;                  /* glibc's, "2.36", or "" */
    bool secure;                          /* AT_SECURE */
    bool has_debug_malloc;                /* libc_malloc_debug.so is mapped */
    /* Whether this glibc has a tunable of that name: 1, 0, or -1 where it cannot be told. */
    int (*knows_tunable)(void *context, const char *name);
    void *context;
};

/* The variables that environment_judge understands, misspelt ones as well. */
bool environment_is_of_interest(const char *name);

/* Release with environment_free. -ENOMEM. */
int environment_judge(const struct environment_facts *facts, struct environment *ret) must_check;
void environment_free(struct environment *environment);
