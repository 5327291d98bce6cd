/* For the tests of this folder: a fake tree in a temporary directory, and processes to look at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "procfs/procfs.h"

/* It reserves 16 TiB and never reuses memory that was just freed. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef HAS_ADDRESS_SANITIZER
#define HAS_ADDRESS_SANITIZER 0
#endif

struct tree {
    char root[256];
    struct procfs procfs;
};

void tree_make(struct tree *tree);
void tree_remove(struct tree *tree);
void tree_file(struct tree *tree, const char *path, const char *text);
void tree_bytes(struct tree *tree, const char *path, const void *bytes, size_t length);
void tree_link(struct tree *tree, const char *path, const char *target);
void tree_directory(struct tree *tree, const char *path);

struct victim {
    pid_t pid;
    int control; /* closing it, or dying, ends the victim */
};

/*
 * Forks a process that calls `prepare` (which may be NULL) and then holds still. Returns when it does. It dies with us.
 */
void victim_start(struct victim *victim, void (*prepare)(void *context), void *context);
void victim_kill(struct victim *victim); /* and reaps it */

/* mlock, which the sanitizers make a function that does nothing. */
int lock_pages(void *start, size_t length);

/* A child that has exited and was not reaped; reap it with waitpid. */
pid_t zombie_make(void);

/*
 * Runs `check` in a child as user 65534 without capabilities and returns its result (0..100). Needs root: see is_root.
 */
int as_nobody(int (*check)(void *context), void *context);
bool is_root(void);

/* The running system's root. */
const struct procfs *real_root(void);

/* By uname: what this kernel is known to have. */
bool kernel_at_least(int major, int minor);
