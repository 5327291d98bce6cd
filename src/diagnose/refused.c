/* What of glibc's heap contradicts itself, or has a layout that is not known: told before
 * everything else. */
#include <stdio.h>
#include <string.h>

#include "base/format.h"
#include "diagnose/rules.h"

/* Unexplained bytes that are known to be glibc's. */
static uint64_t glibc_bytes(const struct case_file *facts)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < facts->unexplained_by->count; i++)
        if (strcmp(facts->unexplained_by->items[i].name, "glibc") == 0)
            bytes += facts->unexplained_by->items[i].bytes;
    return bytes;
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    const struct refused_heap *refused = &facts->refused;
    uint64_t known = glibc_bytes(facts), all = facts->ledger->bytes[ACCOUNT_UNEXPLAINED];
    char others[40] = "";

    if (!refused->reason)
        return false;
    ret->bytes = known ? known : all;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    ret->first = true;
    if (refused->count > 1)
        snprintf(others, sizeof others, " (and %zu more)", refused->count - 1);
    snprintf(ret->because, sizeof ret->because, "%s could not be read%s, %s%s is unexplained: %.*s",
             refused->all ? "glibc's heap" : refused->what, others,
             known ? "so that " : "so that its part of ", format_bytes(ret->bytes).text, 240,
             refused->reason);
    return true;
}

const struct rule rule_refused = {.id = "heap-refused", .applies = applies};
