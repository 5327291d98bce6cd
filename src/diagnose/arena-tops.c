/*
 * Tops of thread arenas: trimmed only when a free() happens to border them, and never by
 * malloc_trim (through 2.44).
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static bool applies(const struct case_file *facts, struct finding *ret)
{
    struct returnable tops;

    if (!facts->tally)
        return false;
    tops = split_returnable(facts).in_thread_tops;
    ret->bytes = tops.bytes;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s is free at the tops of thread arenas; malloc_trim does not return these",
             format_bytes(ret->bytes).text);
    predict_both(ret, (struct returnable){0}, tops);
    return true;
}

const struct rule rule_arena_tops = {.id = "glibc-arena-tops", .applies = applies};
