/*
 * What of the captured chunks is on a list. Whoever left a list may still look as it did; but those
 * that were its neighbours no longer lead to it. In the end every one must be led to by one fd and
 * one bk, list ends included, and be met where the lists are followed from their ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    for (size_t i = 0; r == 0 && i < survey->ends.count; i++)
        r = suspect(suspects, survey->ends.items[i], CELL_NONE);
    return r;
}

static int strike(struct suspects *suspects, struct heap_survey *survey, struct free_node *node)
{
    struct struck_node struck = {node, node ? node->size : 0};
    int r;

    if (!struck.size || is_listed(survey, node))
        return 0;
    r = vector_push(&survey->struck, struck);
    if (r)
        return r;
    node->size = 0;
    return suspect(suspects, node->fd, node->bk);
}

/* Strikes out who is not listed; that makes its neighbours suspect. Each is struck once, so that it
 * ends. */
static int strike_out(struct heap_survey *survey)
{
    struct suspects suspects = {0};
    int r = first_suspects(survey, &suspects);

    while (r == 0 && suspects.count)
        r = strike(&suspects, survey, survey_find(survey, suspects.items[--suspects.count]));
    free(suspects.items);
    return r;
}

/*
 * The same with everybody a suspect. It takes a while, and is for who left its list while the
 * survey went on: when its neighbours were noted they led elsewhere, and need not have changed
 * since.
 */
static int strike_all_out(struct heap_survey *survey)
{
    struct suspects suspects = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->part_count; i++)
        for (size_t k = 0; r == 0 && k < survey->parts[i].nodes.count; k++)
            r = strike(&suspects, survey, &survey->parts[i].nodes.items[k]);
    while (r == 0 && suspects.count)
        r = strike(&suspects, survey, survey_find(survey, suspects.items[--suspects.count]));
    free(suspects.items);
    return r;
}

/* The last four of a list: [3] is the newest, NULL where the list ends or has not begun. */
struct recent {
    struct free_node *of[4];
};

/* Whether [1], if it was not read, must be where it was and as long: see select.c. */
static bool is_sure(const struct recent *recent, unsigned bin)
{
    struct free_node *const *of = recent->of;

    if (!of[1] || !node_is_skipped(of[1]))
        return true;
    return bin != SURVEY_UNSORTED && of[0] && of[2] && !node_is_skipped(of[0]) &&
           !node_is_skipped(of[2]) && !(of[3] && node_is_skipped(of[3])) &&
           node_bytes(of[0]) == node_bytes(of[1]) && node_bytes(of[2]) == node_bytes(of[1]);
}

/* Another one, or NULL behind the last. */
static int pass(struct recent *recent, struct free_node *node, unsigned bin)
{
    memmove(recent->of, recent->of + 1, 3 * sizeof *recent->of);
    recent->of[3] = node;
    return is_sure(recent, bin) ? 0 : OUTCOME_TORN;
}

/* From a list's end to its end, counting down `left`. */
static int follow_list(struct heap_survey *survey, size_t arena, unsigned bin, uint64_t *left)
{
    const struct arena_heads *heads = &survey->heads[arena];
    uint32_t self = heads->self[bin], cell = heads->fd[bin], before = self;
    struct recent recent = {{NULL}};
    int r = self == CELL_NONE ? OUTCOME_TORN : 0;

    while (r == 0 && cell != self) {
        struct free_node *node = survey_find(survey, cell);

        if (!node || !node->size || !*left || node->bk != before)
            return OUTCOME_TORN;
        r = pass(&recent, node, bin);
        --*left;
        before = cell;
        cell = node->fd;
    }
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = pass(&recent, NULL, bin);
    return r == 0 && heads->bk[bin] != before ? OUTCOME_TORN : r;
}

/* All chunks, each once. */
static int follow_lists(struct heap_survey *survey, uint64_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->head_count; i++)
        for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++)
            r = follow_list(survey, i, bin, &count);
    return r == 0 && count ? OUTCOME_TORN : r;
}

/* Whether what is left is what is on the lists. */
static bool closes(struct heap_survey *survey)
{
    struct closure closure = survey_closure(survey);

    return closure.cells == closure.fd && closure.cells == closure.bk &&
           follow_lists(survey, closure.count) == 0;
}

/* Another stop compares with what was noted; and what was left out is in doubt until one has read
 * it. */
static void take_back(struct heap_survey *survey)
{
    for (size_t i = survey->struck.count; i; i--)
        survey->struck.items[i - 1].node->size = survey->struck.items[i - 1].size;
    for (size_t i = 0; i < survey->part_count; i++)
        for (size_t k = 0; k < survey->parts[i].nodes.count; k++)
            survey->parts[i].nodes.items[k].size &= ~NODE_SKIPPED;
}

int glibc_resolve(const struct heap *heap, struct heap_survey *survey, struct why *why)
{
    int r;

    survey->struck.count = 0;
    r = strike_out(survey);
    if (r || closes(survey))
        return r;
    r = strike_all_out(survey);
    if (r || closes(survey))
        return r;
    take_back(survey);
    return why_set(why, OUTCOME_TORN, "its free chunks are not the ones on its lists");
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
