/*
 * What `residue keep` is about to change in a process, written down before it does, so that it can be undone: by whoever
 * runs it later, and also when it was killed in between.
 *
 * One file a process in a directory of our own that nobody else may write to, named by the process' id, when it began, and
 * the run of the kernel; in JSON. It is replaced as a whole, and is on disk (fsync) before anything is changed. What is
 * read is believed only where it fits: it decides what a process gets.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/range.h"
#include "procfs/identity.h"

/* In the order in which they are set: each prefix of it is a state in which the program may be. */
enum keep_setting {
    KEEP_HUGE_PAGES,      /* enum keep_huge_pages */
    KEEP_MMAP_MAX,        /* of malloc's: most mapped blocks at a time */
    KEEP_TRIM_THRESHOLD,  /* bytes */
    KEEP_MMAP_THRESHOLD,  /* bytes */
    KEEP_STATIC,          /* 1: freeing a large block no longer raises the two */
    KEEP_SETTINGS,
};

/* Values are what PR_GET_THP_DISABLE returns. */
enum keep_huge_pages {
    KEEP_HUGE_ALLOWED = 0, /* as the system's settings say */
    KEEP_HUGE_OFF = 1,
    KEEP_HUGE_ADVISED = 3, /* where the program asks for them (PR_THP_DISABLE_EXCEPT_ADVISED, Linux 6.18) */
};

struct keep_change {
    enum keep_setting setting;
    uint64_t before, after;
};

struct keep_state {
    pid_t pid;
    struct process_identity identity;
    remote_addr parameters; /* where malloc's are (mp_); 0: none of them was changed */
    struct keep_change changes[KEEP_SETTINGS]; /* each setting once, ascending */
    size_t count;
};

/* "huge_pages", ... */
const char *keep_setting_name(enum keep_setting setting);

/* The change of `setting`, or NULL. */
const struct keep_change *keep_state_find(const struct keep_state *state, enum keep_setting setting);

/* Adds it, or puts it in the place of that of the same setting. */
void keep_state_put(struct keep_state *state, struct keep_change change);

/*
 * Opens the directory, and makes it if need be: /run/residue for root, residue in $XDG_RUNTIME_DIR for others.
 * A descriptor; -EACCES where it is somebody else's or others may write to it; OUTCOME_NOT_POSSIBLE without
 * XDG_RUNTIME_DIR; negative errno.
 */
int keep_directory_open(int *ret_fd, struct why *why) must_check;

/* The same of that name in `parent`, an absolute path. */
int keep_directory_open_in(const char *parent, int *ret_fd, struct why *why) must_check;

/* 0; OUTCOME_NOT_FOUND: nothing is known of it; OUTCOME_NOT_POSSIBLE: what is there cannot be believed; negative errno. */
int keep_state_load(int directory, pid_t pid, const struct process_identity *identity, struct keep_state *ret,
                    struct why *why) must_check;

/* 0 when it is on disk; negative errno: then what was there before still is. */
int keep_state_save(int directory, const struct keep_state *state, struct why *why) must_check;

int keep_state_remove(int directory, const struct keep_state *state, struct why *why) must_check;

/* Removes the files of processes that are no more. */
void keep_directory_sweep(int directory, const struct procfs *procfs);
