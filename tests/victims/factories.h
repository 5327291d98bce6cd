/*
 * Heaps by name. To add one: write its function and add it to `factories` in factories.c.
 *
 * A factory returns when its heap is built, and leaves its threads waiting. One that goes on for ever (churn) starts
 * its work in the background, or hands over a step that the command loop repeats.
 */
#pragma once

#include <stdbool.h>

struct factory {
    const char *name;
    void (*build)(const char *argument); /* NULL when none was given */
};

extern const struct factory factories[];

/* What the command loop does while there is no command; NULL: it waits. */
extern void (*idle_step)(void);

/* Processes that share the heap, for the READY line. */
enum { MOST_FORKS = 2 };
extern int fork_count, forks[MOST_FORKS];

/* Runs body(1..count) on threads; when all are done, those up to `stay` wait for the end of the process. */
void run_threads(unsigned count, unsigned stay, void (*body)(unsigned thread));

/* Starts threads that never end. */
void start_threads(unsigned count, void (*body)(unsigned thread));

/* Reads all pages of code and constants: a fork's child begins without those of files. */
void touch_objects(void);

/* What the main thread or another does for a mixed heap: all sizes, alignments, and ways to be free. */
void mixed_body(unsigned thread);

/* factories in files of their own */
void build_foreign_sbrk(const char *argument);
void build_brk_blocked(const char *argument);
void build_brk_at_times(const char *argument);
void build_namespaces(const char *argument);
void build_fork_orphans(const char *argument);
void build_churn(const char *argument);
unsigned long churn_steps(void);
void build_fill(const char *argument);
void build_caches(const char *argument);
void build_remapped(const char *argument);

/* mechanisms.c */
void build_hoards(const char *argument);
void build_deep_stack(const char *argument);
void build_ended(const char *argument);
void build_lazy(const char *argument);
void build_one_size(const char *argument);
void build_torn(const char *argument);

/* inflated.c */
void build_inflated(const char *argument);
const void *inflated_find_wrong(void);
