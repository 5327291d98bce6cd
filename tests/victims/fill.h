/*
 * A heap of a given size without a book, for measuring, and threads that keep it busy. Every block holds the pattern of
 * its address behind a link to another, so that `check` finds any byte that somebody else has changed.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "book.h"

enum { SLOTS = 128 * 1024 };

struct link {
    struct link *next;
};

/* Who builds a share of the heap, in the arena malloc gives to its thread, and may keep it busy. */
struct worker {
    struct numbers numbers;
    struct link *lasting;                /* blocks that stay */
    size_t lasting_count;
    _Atomic(struct link *) slots[SLOTS]; /* others, from all over the share, that come and go; NULL: gone */
    size_t slot_count;
    atomic_ulong steps;                  /* blocks taken and dropped since it was built */
};

struct worker *fill_worker(unsigned index);

/* A block of the kind's sizes. */
struct link *fill_take(struct worker *worker);
/* Checks and frees. */
void fill_drop(struct link *block);

/* Builds one worker's share: `bytes` of blocks. */
void fill_share(struct worker *worker, size_t bytes);
/* Frees half of it, when all shares are built: the next would only fill the holes again. */
void fill_free_half(struct worker *worker);

/*
 * The least and the most that the chunks of all blocks had together since the last call, in bytes; as much as each
 * worker has in hand may be missing.
 */
void fill_live(long *ret_least, long *ret_most);

/* The first block that does not hold what it should, or NULL. Nobody may change the heap meanwhile. */
const void *fill_find_wrong(void);

/* Builds `bytes` by that many threads, or by this one for 0; they wait for busy_go. */
void busy_build(unsigned threads, size_t bytes);
/* Lets the workers take and drop blocks, `rate` a second all together, as fast as they can for 0. */
void busy_go(unsigned long rate);
/* Returns when all wait. Whether they were going. */
bool busy_stop(void);
unsigned busy_worker_count(void);
unsigned long busy_steps(void);

/*
 * Notes from now on for how long the process is kept from running: by a thread of its own, or where there is none and
 * shall be none, by the main thread between all it does.
 */
void busy_probe(void);

unsigned long now_ns(void);
void sleep_until_ns(unsigned long ns);
/* Starts a thread that notes it; it prefers to go before all others. */
void probe_start(void);
/* For a thread that notes it by itself: it runs now. */
void probe_mark(void);
/* The longest since the last call, in ns. */
unsigned long probe_longest_ns(void);
