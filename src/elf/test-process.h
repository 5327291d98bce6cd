/* Programs that the tests start, stop and look at. All end with the test. */
#pragma once

#include "elf/unwind.h"
#include "mem/live.h"

enum { NAMED_MAX = 8 };

struct victim {
    pid_t pid;
    int input, output; /* its standard input and output */
    bool traced;
    uint64_t named[NAMED_MAX]; /* what it announced */
    size_t named_count;
    struct procfs procfs;
    struct maps maps;
    struct live_memory memory;
    struct elf_images images;
};

/* Starts `path` with `arguments` (NULL-terminated, argv[0] included); waits for its line if it announces one. */
void victim_start(struct victim *victim, const char *path, const char *const *arguments, bool announces);
void victim_end(struct victim *victim);

/* Opens maps, memory and images, to be called when all of its libraries are loaded. */
void victim_open(struct victim *victim);

/* Stops one thread by ptrace, and lets it go on. */
void thread_seize(pid_t tid);
void thread_stop(pid_t tid);
void thread_resume(pid_t tid);

struct chain {
    enum unwind_end end;
    remote_addr pc[4200];
    size_t count;
    struct why why;
};

/* The chain of a stopped thread. */
void thread_chain(struct victim *victim, pid_t tid, struct chain *ret);

/* Whether a frame of the chain lies in the function that starts at `function`. */
bool chain_has(struct victim *victim, const struct chain *chain, remote_addr function);

/* A number in [0, below), the same sequence at every run. */
unsigned test_random(unsigned below);
