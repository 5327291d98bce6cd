/* What explaining a process holds on to while it looks. */
#pragma once

#include "explain/explain.h"
#include "mem/page-image.h"
#include "procfs/maps.h"
#include "target/stacks.h"
#include "target/target.h"

struct look {
    const struct procfs *procfs;
    pid_t pid;
    struct explain_options options;
    struct explanation *out;
    struct target target;
    struct maps maps;
    struct shmem_devices shmem;
    struct elf_images images;
    uint64_t images_mark;           /* of the mappings that `images` was opened for */
    struct thread_stacks stacks;
    struct heap_thread *threads;
    size_t thread_count;            /* of `threads`; as of the last stop */
    struct ended_pointers {
        remote_addr *items;
        size_t count, capacity;
    } ended;                        /* thread pointers of threads that have ended */
    bool read_still;                /* read while free to run, to be proven to be as under a stop */
    struct heap_memo memo;          /* of `images` */
    struct heap *heap;              /* NULL: none decoded */
    struct heap *heap_before;       /* while surveyed: as the survey found it */
    unsigned captures;              /* stops in which the lists of what was surveyed were read */
    enum rss_source rss_source;     /* what is exact on this kernel */
    bool main_top_trims;            /* [heap] ends with the main arena's top */
    struct unexplained_pieces pieces;

    /* moving.c: what was surveyed while the process ran, and captured in a stop. */
    bool surveyed, captured;        /* page states are those of `frozen` from then on */
    bool lists_later;
    bool no_stacks;                 /* nobody asks for the threads' stacks */
    struct page_image pages_before, pages_now;
    struct frozen_memory frozen;
    const struct allocator *surveyor;
    struct heap_survey *survey;     /* NULL: there is no heap to decode */
    struct rss captured_rss;
};

/* explain.c: releases all of it; the target runs again. */
void look_close(struct look *look);

/* look.c */

/* Reads mappings, and images when the executable mappings changed; of a stopped process also stacks and threads. */
int look_at_mappings(struct look *look, struct why *why) must_check;
void look_forget_mappings(struct look *look);
struct heap_view look_heap_view(struct look *look);

/* Adds a refusal to the explanation; memory shortage loses it. */
void look_refuse(struct look *look, const struct why *reason, const char *what);

/* look.c: the registers of the stopped process' threads, into look->threads. */
int look_take_registers(struct look *look) must_check;

/* settle.c: stops the process at a moment at which its heap may be believed, and opens the heap. */
int look_settle(struct look *look, struct why *why) must_check;

/*
 * settle.c: tries every decoder. 0 when one serves the process or none does; OUTCOME_TORN when another moment may be
 * better, unless it is the `last`; other outcomes are final for this heap and become a refusal.
 */
int look_open_heap(struct look *look, bool last, struct why *why) must_check;
int look_heap_settled(struct look *look, struct why *why) must_check;
void look_close_heap(struct look *look);

/*
 * still.c: looks at a sleeping process as if it were stopped, and accounts for all of it. 0: it is proven, and the
 * process is stopped; OUTCOME_TORN: it ran meanwhile; OUTCOME_NOT_POSSIBLE: not tried. Then nothing is kept.
 */
int look_when_still(struct look *look, struct why *why) must_check;

bool look_is_large(struct look *look, uint64_t bytes); /* has so much anonymous memory, and may be read and stopped */
/* Less is walked in one stop in the time that a survey and its stops would take. */
#define SURVEY_LEAST_BYTES (UINT64_C(32) << 20)
void look_take_back(struct look *look, size_t refusals); /* what was found so far; `refusals` are kept */

/* settle.c: one stop, which is to capture what was surveyed. OUTCOME_TORN: not a good moment; the process runs again. */
int look_attempt(struct look *look, bool last, struct why *why) must_check;

/*
 * moving.c: looks at a running process in a stop that hardly grows with the heap, and accounts for all of it; it runs
 * again then. 0; else it could not be done, and nothing is kept.
 */
int look_while_moving(struct look *look, struct why *why) must_check;
int look_survey(struct look *look, struct why *why) must_check;
/* Whether no thread is inside malloc, judged by the heap as surveyed: soon told, and most stops end with it. As settled. */
int look_quiet_as_surveyed(struct look *look, struct why *why) must_check;
int look_renew_pages(struct look *look, struct why *why) must_check; /* which are there now: before the heap is opened */
int look_capture(struct look *look, struct why *why) must_check;
void look_forget_survey(struct look *look);

/*
 * running.c: looks without ever stopping, and tells how far off the heap's figures may be. Leaves what look_account needs.
 */
int look_running(struct look *look, struct why *why) must_check;

/* The same without a survey, where what was captured contradicts itself; `refusals`: how many there were before. */
int look_running_simply(struct look *look, size_t refusals, struct why *why) must_check;

/* name.c: recognises allocators and runtimes, and gives them the unexplained bytes that are theirs. */
int name_unexplained(struct look *look, struct why *why) must_check;

/* account.c: as many threads as the walk takes. */
unsigned look_threads(const struct look *look);

/* account.c: walks the heap and adds up the ledger; then what it adds up to is compared with the kernel. */
int look_account(struct look *look, struct why *why) must_check;

/* environment.c: the settings of malloc that the process was started with, and whether they are in force. */
int look_at_environment(struct look *look, struct why *why) must_check;

/* causes.c: puts what is known before the rules. */
int look_find_causes(struct look *look) must_check;
