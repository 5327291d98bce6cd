#include <errno.h>
#include <stdlib.h>

#include "base/vector.h"
#include "diagnose/rules.h"

const struct rule *const rules[] = {
    &rule_refused,     &rule_dynamic_threshold,
    &rule_arena_free,  &rule_arena_tops,
    &rule_many_arenas, &rule_thread_caches,
    &rule_fastbins,    &rule_pinned,
    &rule_zero_pages,  &rule_stale_stacks,
    &rule_lazyfree,    &rule_swapped,
    &rule_live,        NULL,
};

static bool goes_before(const struct finding *a, const struct finding *b)
{
    return a->first != b->first ? a->first : a->bytes > b->bytes;
}

/* The largest first; of equals, the one whose rule stands first. */
static void insert_sorted(struct findings *findings)
{
    for (size_t i = findings->count - 1;
         i && goes_before(&findings->items[i], &findings->items[i - 1]); i--) {
        struct finding swap = findings->items[i];

        findings->items[i] = findings->items[i - 1];
        findings->items[i - 1] = swap;
    }
}

int diagnose(const struct case_file *facts, struct findings *ret)
{
    struct findings findings = {0};

    for (size_t i = 0; rules[i]; i++) {
        struct finding finding = {.id = rules[i]->id};

        if (!rules[i]->applies(facts, &finding))
            continue;
        if (vector_push(&findings, finding)) {
            free(findings.items);
            return -ENOMEM;
        }
        insert_sorted(&findings);
    }
    *ret = findings;
    return 0;
}
