/* What `residue reclaim` was asked for. */
#pragma once

#include "cmd/cmd.h"
#include "cure/reclaim.h"

struct reclaim_command {
    pid_t pid;
    struct reclaim_options options;
    bool json, quiet;
    enum color_when color;
};

/* Parses, or exits with EXIT_CODE_USAGE. */
void reclaim_parse(int argc, char **argv, struct reclaim_command *ret);

/* "5ms", "30s", "2min"; a number alone is seconds. 0 or -EINVAL. */
int parse_duration(const char *text, uint64_t *ret_ns) must_check;

/* "4096", "64K", "1.5G", "100MiB": powers of 1024. 0 or -EINVAL. */
int parse_bytes(const char *text, uint64_t *ret) must_check;
