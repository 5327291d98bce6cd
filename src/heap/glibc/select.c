/*
 * Which of the surveyed chunks are read in the stop. One that is still led to by its neighbour has
 * not left its place in the list since, whatever else happened, because lists take new chunks in at
 * their ends (large bins sort them in, and then the neighbours' links change): so it need not be
 * read itself. Along each list two are read, two are not, and so on; then every one has a neighbour
 * that is read, those that are read too. On a page that is read anyway all are read.
 */
#include "heap/glibc/survey.h"

enum { GROUP = 2 };

struct selection {
    struct heap_survey *survey;
    struct free_node *skipped[GROUP]; /* the group that is being skipped */
    unsigned count;                   /* of the present group */
    bool skips;
    uint32_t page; /* of the chunk before */
};

static uint32_t page_of(uint32_t cell)
{
    return cell / (uint32_t)(PAGE_BYTES / CHUNK_ALIGNMENT);
}

static void unskip(struct selection *selection)
{
    for (unsigned i = 0; selection->skips && i < selection->count; i++)
        selection->skipped[i]->size &= ~NODE_SKIPPED;
    selection->count = 0;
}

static void select_node(struct selection *selection, struct free_node *node)
{
    bool same_page = page_of(node->at) == selection->page;

    selection->page = page_of(node->at);
    if (selection->count >= GROUP && (selection->skips || !same_page)) {
        selection->skips = !selection->skips;
        selection->count = 0;
    }
    if (selection->skips) {
        selection->skipped[selection->count] = node;
        node->size |= NODE_SKIPPED;
    }
    selection->count++;
}

/* Follows one list in what was noted; as it was changing, it may lead nowhere: then its last ones
 * are read. */
static void select_list(struct heap_survey *survey, size_t arena, unsigned bin)
{
    struct selection selection = {.survey = survey, .page = UINT32_MAX};
    uint32_t cell = survey->heads[arena].fd[bin], before = survey->heads[arena].self[bin];

    for (uint64_t i = 0; i <= survey->node_count && cell != survey->heads[arena].self[bin]; i++) {
        struct free_node *node = survey_find(survey, cell);

        if (!node || node_is_skipped(node) || node->bk != before) {
            unskip(&selection);
            return;
        }
        select_node(&selection, node);
        before = cell;
        cell = node->fd;
    }
    if (cell != survey->heads[arena].self[bin])
        unskip(&selection);
}

void survey_select(struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->head_count; i++)
        for (unsigned bin = 0; bin < BIN_COUNT; bin++)
            select_list(survey, i, bin);
}
