#include "cure/cure.h"

#include <stdlib.h>
#include <string.h>

#include "base/range.h"
#include "base/vector.h"

void cure_skip(struct cure_outcome *outcome, uint64_t bytes, const char *reason)
{
    struct cure_skip skip = {.bytes = bytes};
    int r;

    if (bytes == 0)
        return;
    for (size_t i = 0; i < outcome->skipped.count; i++)
        if (strcmp(outcome->skipped.items[i].reason.text, reason) == 0) {
            outcome->skipped.items[i].bytes += bytes;
            return;
        }
    why_set(&skip.reason, 0, "%s", reason);
    r = vector_push(&outcome->skipped, skip);
    (void)r;
}

void cure_outcome_free(struct cure_outcome *outcome)
{
    free(outcome->skipped.items);
    outcome->skipped = (struct cure_skips){0};
}

bool cure_fell_short(const struct cure_outcome *outcome)
{
    uint64_t predicted = outcome->predicted_rss_bytes;
    uint64_t tolerated = predicted / 100 + PAGE_BYTES;

    return outcome->applied && outcome->returned_rss_bytes + tolerated < predicted;
}
