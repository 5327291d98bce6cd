/*
 * Stack pages that deeper calls have left below the stack pointers, and stacks of threads that have
 * ended, which glibc keeps for new threads (nptl/nptl-stack.c) or until somebody joins them.
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static void explain_ended(const struct case_file *facts, char *text, size_t size)
{
    const struct ended_stacks *ended = &facts->ended;
    char not_joined[80] = "";

    if (ended->count == 0)
        return;
    if (ended->not_joined == ended->count)
        snprintf(not_joined, sizeof not_joined, " until somebody joins them");
    else if (ended->not_joined)
        snprintf(not_joined, sizeof not_joined, "; %zu of them %s neither joined nor detached",
                 ended->not_joined, ended->not_joined == 1 ? "was" : "were");
    snprintf(text, size,
             ", or (%s) on the stacks of %zu thread%s that ha%s ended, which glibc keeps%s",
             format_bytes(ended->stale_bytes).text, ended->count, ended->count == 1 ? "" : "s",
             ended->count == 1 ? "s" : "ve", not_joined);
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    char ended[200] = "";

    ret->bytes = facts->ledger->bytes[ACCOUNT_STACK_STALE];
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    explain_ended(facts, ended, sizeof ended);
    snprintf(ret->because, sizeof ret->because,
             "%s of stacks is not in use: it lies below the stack pointers, where deeper calls "
             "left it%s",
             format_bytes(ret->bytes).text, ended);
    predict(ret, "stale-stacks", facts->stale.bytes, facts->stale.exclusive_bytes);
    return true;
}

const struct rule rule_stale_stacks = {.id = "stale-stacks", .applies = applies};
