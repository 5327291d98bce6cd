/* smaps, line by line. */
#pragma once

#include "procfs/parse.h"
#include "procfs/smaps.h"

struct smaps_parser {
    int (*each)(void *context, const struct smaps_entry *entry);
    void *context;
    struct smaps_entry entry;
    bool in_entry;
};

/* 0; what `each` returned if not 0; -EBADMSG. The last entry comes with smaps_parser_end. */
int smaps_parser_line(struct smaps_parser *parser, struct text line, struct why *why) must_check;
int smaps_parser_end(struct smaps_parser *parser) must_check;

/* "Key:   123 kB" of smaps or smaps_rollup: false if it is no such line. */
bool smaps_kilobytes(struct text line, struct text *ret_key, uint64_t *ret_bytes);
