/*
 * Whether what was noted leads to what was noted: each free chunk is led to by one fd and one bk,
 * so that the three are the same multiset when no chunk is missing. And what is missing.
 */
#include "heap/glibc/survey.h"

static void add_node(struct closure *closure, const struct free_node *node)
{
    if (!node->size)
        return;
    closure->count++;
    closure->cells += hash_address(node->at);
    closure->fd += hash_address(node->fd);
    closure->bk += hash_address(node->bk);
}

struct closure survey_closure(const struct heap_survey *survey)
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

static bool is_known(const struct heap_survey *survey, uint32_t cell)
{
    size_t arena, bin;

    return cell == CELL_NONE || survey_is_head(survey, cell, &arena, &bin) ||
           survey_find(survey, cell);
}

static int note_if_unknown(struct heap_survey *survey, uint32_t cell)
{
    if (is_known(survey, cell))
        return 0;
    if (survey->extras.count == EXTRAS_MOST)
        return OUTCOME_NOT_POSSIBLE;
    return extra_nodes_add(&survey->extras, survey_address(survey, cell), cell);
}

static int note_both(struct heap_survey *survey, uint32_t fd, uint32_t bk)
{
    int r = note_if_unknown(survey, fd);

    return r ? r : note_if_unknown(survey, bk);
}

int survey_note_beyond(struct heap_survey *survey)
{
    struct closure closure = survey_closure(survey);
    int r = 0;

    if (closure.cells == closure.fd && closure.cells == closure.bk)
        return 0;
    for (size_t i = 0; r == 0 && i < survey->part_count; i++) {
        const struct free_nodes *nodes = &survey->parts[i].nodes;

        for (size_t k = 0; r == 0 && k < nodes->count; k++)
            r = note_both(survey, nodes->items[k].fd, nodes->items[k].bk);
    }
    for (size_t i = 0; r == 0 && i < survey->head_count; i++)
        for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++)
            r = note_both(survey, survey->heads[i].fd[bin], survey->heads[i].bk[bin]);
    return r;
}
