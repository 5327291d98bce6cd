/* What `residue keep` was asked for. */
#pragma once

#include "cmd/cmd.h"
#include "cure/keep.h"

struct keep_command {
    pid_t pid;
    struct keep_options options;
    bool json, quiet;
    enum color_when color;
};

/* Parses, or exits with EXIT_CODE_USAGE. */
void keep_parse(int argc, char **argv, struct keep_command *ret);
