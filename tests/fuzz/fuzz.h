/*
 * Fuzzing the parsers of what others wrote: each harness is one LLVMFuzzerTestOneInput, run by libFuzzer or, for the
 * inputs that are kept, by replay.c. A harness checks more than that nothing crashes: see fuzz_check.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "procfs/procfs.h"

/* 0; -1 tells libFuzzer not to keep the input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, with the place, where what must hold does not. */
#define fuzz_check(condition)                                                                                          \
    ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
void fuzz_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

/* Checks that a failure is one of the contract's, with its sentence: `r` is 0, -EBADMSG, or the others given. */
void fuzz_check_failure(int r, const struct why *why, int also_1, int also_2);

/* The next part of the input, up to `separator`, which is taken too. */
struct fuzz_part {
    const uint8_t *data;
    size_t size;
};
enum { FUZZ_SEPARATOR = 0x1e }; /* ASCII's record separator: in none of the texts */
struct fuzz_part fuzz_next_part(struct fuzz_part *rest);

/*
 * A file of a fake tree, whose content is set for each input; it and its directories are made at the first call, under
 * TMPDIR, and removed at exit. `path` as the code asks for it, without a leading slash.
 */
const struct procfs *fuzz_tree(void);
void fuzz_tree_file(const char *path, const uint8_t *data, size_t size);
