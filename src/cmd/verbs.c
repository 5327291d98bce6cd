#include "cmd/cmd.h"

const struct verb verbs[] = {
    {"why", cmd_why, "tell what holds a process' memory, and what would give it back"},
};

const size_t verb_count = sizeof verbs / sizeof verbs[0];
