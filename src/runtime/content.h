/* Whether memory is a runtime's heap, by what lies in it: a few bytes at a few places, which no other data has. */
#pragma once

#include "heap/recognise.h"
#include "mem/memory.h"

struct content_test {
    const char *owner;
    const char *evidence;   /* static, for a reader */
    bool exhaustive;        /* all that the owner keeps in large anonymous mappings would pass */
    uint64_t (*stride)(const struct owner *owner); /* of what is looked at; 0: not this version */
    /*
     * Looks at a multiple of the stride. 0 fits; OUTCOME_NOT_FOUND does not; OUTCOME_UNREADABLE cannot tell (not
     * present, or never used); negative errno when the process has gone.
     */
    int (*look)(struct memory *memory, remote_addr address, uint64_t stride);
};

/* The test for this owner, with its stride, or NULL. */
const struct content_test *content_test_of(const struct owner *owner, uint64_t *ret_stride);
