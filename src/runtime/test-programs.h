/* Real programs with allocators and runtimes of many kinds, for tests to start and look at. */
#pragma once

#include "mem/live.h"
#include "runtime/recognise.h"

enum { PROGRAM_ARGUMENTS = 8, PROGRAM_LINE = 256 };

/* Where the sleeping program is, and what it said first. */
struct program {
    pid_t pid;
    int input, output;
    char line[PROGRAM_LINE]; /* its first line */
    struct procfs procfs;
    struct maps maps;
    struct live_memory memory;
    struct elf_images images;
    struct owners owners;
};

/* Skips the test, with the reason, when `path` cannot be executed here (NULL: was not built). */
void need_program(const char *path, const char *what);

/* Skips the test when this library is not there; returns its path. */
const char *need_library(const char *name);

/*
 * Starts arguments[0] with LD_PRELOAD=`preload` (NULL: none), waits for its first line, and recognises what it is.
 * It ends with program_end, and with the test at the latest.
 */
void program_start(struct program *program, const char *const *arguments, const char *preload);
void program_end(struct program *program);

/* The only owner with this name; fails the test when there is none. */
const struct owner *program_owner(const struct program *program, const char *name);
