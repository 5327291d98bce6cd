/* Nothing is kept needlessly: what is resident is in use, as far as the allocator can tell. */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

enum { MOST_OF = 2, CLASSES_TOLD = 2, CLASS_SHARE = 10 }; /* half of the resident set */

static unsigned largest_class(const struct heap_census *census, unsigned but)
{
    unsigned most = but == 0;

    for (unsigned i = 0; i < CENSUS_CLASSES; i++)
        if (i != but && census->classes[i].bytes > census->classes[most].bytes)
            most = i;
    return most;
}

/* "; 310 MiB in 1,234,567 blocks of 200 to 215 bytes, ..." */
static void tell_classes(const struct case_file *facts, char *text, size_t size)
{
    unsigned last = CENSUS_CLASSES;
    size_t used = 0;

    for (unsigned i = 0; i < CLASSES_TOLD; i++) {
        unsigned index = largest_class(facts->census, last);
        const struct census_class *class = &facts->census->classes[index];
        int length;

        if (class->bytes < facts->ledger->bytes[ACCOUNT_HEAP_LIVE] / CLASS_SHARE || used >= size)
            return;
        length = snprintf(text + used, size - used, "%s %s in %s block%s of %s",
                          i ? "," : ": largest are", format_bytes(class->bytes).text,
                          format_count(class->blocks).text, class->blocks == 1 ? "" : "s",
                          describe_class(index).text);
        used += length > 0 ? (size_t)length : 0;
        last = index;
    }
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    char classes[200] = "";

    ret->bytes = facts->ledger->bytes[ACCOUNT_HEAP_LIVE];
    if (!facts->tally || !is_worth_telling(facts, ret->bytes) ||
        ret->bytes < facts->rss_bytes / MOST_OF)
        return false;
    if (facts->census)
        tell_classes(facts, classes, sizeof classes);
    snprintf(ret->because, sizeof ret->because,
             "%s is in blocks that the program holds%s. This is its own memory, not the "
             "allocator's; a growing figure here is a leak or a cache",
             format_bytes(ret->bytes).text, classes);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    return true;
}

const struct rule rule_live = {.id = "live-memory", .applies = applies};
