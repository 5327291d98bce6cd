#include "cmd/cmd.h"

const struct verb verbs[] = {
    {"why", cmd_why, "tell what holds a process' memory, and what would give it back"},
    {"reclaim", cmd_reclaim, "give back memory that a process does not need, and verify it"},
    {"keep", cmd_keep, "keep the memory of a running process from growing again"},
};

const size_t verb_count = sizeof verbs / sizeof verbs[0];
