/*
 * What of the captured chunks is on a list. Whoever left a list may still look as it did; but those
 * that were its neighbours no longer lead to it. In the end every one must be led to by one fd and
 * one bk, list ends included.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/survey.h"

struct suspects {
    uint32_t *items;
    size_t count, capacity;
};

/* Where `cell`, a node or a list's end, leads back to; CELL_NONE when it is none, or free no more.
 */
static uint32_t back_link(const struct heap_survey *survey, uint32_t cell, bool by_bk)
{
    const struct free_node *node;
    size_t arena, bin;

    if (survey_is_head(survey, cell, &arena, &bin))
        return by_bk ? survey->heads[arena].bk[bin] : survey->heads[arena].fd[bin];
    node = survey_find(survey, cell);
    if (!node || !node->size)
        return CELL_NONE;
    return by_bk ? node->bk : node->fd;
}

static bool is_listed(const struct heap_survey *survey, const struct free_node *node)
{
    return back_link(survey, node->fd, true) == node->at &&
           back_link(survey, node->bk, false) == node->at;
}

static int suspect(struct suspects *suspects, uint32_t a, uint32_t b)
{
    int r = a == CELL_NONE ? 0 : vector_push(suspects, a);

    return r || b == CELL_NONE ? r : vector_push(suspects, b);
}

static int first_suspects(const struct heap_survey *survey, struct suspects *suspects)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->changed.count; i++) {
        const struct changed_node *changed = &survey->changed.items[i];

        r = suspect(suspects, changed->fd, changed->bk);
        if (r == 0)
            r = suspect(suspects, changed->node->fd, changed->node->bk);
        if (r == 0)
            r = suspect(suspects, changed->node->at, CELL_NONE);
    }
    for (size_t i = 0; r == 0 && i < survey->extras.count; i++)
        r = suspect(suspects, survey->extras.items[i].node.at, CELL_NONE);
    return r;
}

/* Strikes out who is not listed; that makes its neighbours suspect. Each is struck once, so that it
 * ends. */
static int strike_out(struct heap_survey *survey)
{
    struct suspects suspects = {0};
    int r = first_suspects(survey, &suspects);

    while (r == 0 && suspects.count) {
        struct free_node *node = survey_find(survey, suspects.items[--suspects.count]);

        if (!node || !node->size || is_listed(survey, node))
            continue;
        node->size = 0;
        r = suspect(&suspects, node->fd, node->bk);
    }
    free(suspects.items);
    return r;
}

struct closure {
    uint64_t cells, fd, bk;
};

static void add_node(struct closure *closure, const struct free_node *node)
{
    if (!node->size)
        return;
    closure->cells += hash_address(node->at);
    closure->fd += hash_address(node->fd);
    closure->bk += hash_address(node->bk);
}

static struct closure closure_of(const struct heap_survey *survey)
{
    struct closure closure = {0};

    for (size_t i = 0; i < survey->part_count; i++)
        for (size_t k = 0; k < survey->parts[i].nodes.count; k++)
            add_node(&closure, &survey->parts[i].nodes.items[k]);
    for (size_t i = 0; i < survey->extras.count; i++)
        add_node(&closure, &survey->extras.items[i].node);
    for (size_t i = 0; i < survey->head_count; i++)
        for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
            closure.cells += hash_address(survey->heads[i].self[bin]);
            closure.fd += hash_address(survey->heads[i].fd[bin]);
            closure.bk += hash_address(survey->heads[i].bk[bin]);
        }
    return closure;
}

int glibc_resolve(const struct heap *heap, struct heap_survey *survey, struct why *why)
{
    int r = strike_out(survey);
    struct closure closure;

    if (r)
        return r;
    closure = closure_of(survey);
    if (closure.cells != closure.fd || closure.cells != closure.bk)
        return why_set(why, OUTCOME_TORN, "its free chunks are not the ones on its lists");
    return 0;
}

/* A chunk that was struck out counts with what it was taken for last: nothing, if it did not look
 * free then. */
uint64_t glibc_unsure_bytes(const struct heap_survey *survey)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < survey->changed.count; i++)
        bytes += node_bytes(survey->changed.items[i].node);
    for (size_t i = 0; i < survey->extras.count; i++)
        bytes += node_bytes(&survey->extras.items[i].node);
    return bytes;
}
