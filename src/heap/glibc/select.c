/*
 * Which of the surveyed chunks are read in the stop. Along a list two are read and one is not:
 *
 *     before -> left out -> behind -> next
 *
 * If they lead to each other still, this one is where it was. What a chunk holds does not tell that
 * it is on a list: malloc leaves the links of what it takes as they were. But of two that lead to
 * each other not both have left, since who left first was no longer led to. So `behind` or `next`
 * is on the list, hence both, and the one before them; and where a list is followed up to `before`,
 * the one behind it. Nothing can have come between. Its size is known where lists are sorted by
 * size and its neighbours have the same; not among unsorted ones. On a page that is read anyway all
 * are read.
 */
#include "heap/glibc/survey.h"

static uint32_t page_of(const struct free_node *node)
{
    return node->at / (uint32_t)(PAGE_BYTES / CHUNK_ALIGNMENT);
}

static bool can_leave_out(const struct free_node *before, const struct free_node *node,
                          const struct free_node *behind)
{
    return before->size == node->size && behind->size == node->size &&
           page_of(before) != page_of(node) && page_of(behind) != page_of(node);
}

/* Follows one list in what was noted; as it was changing, it may lead nowhere. */
static void select_list(struct heap_survey *survey, size_t arena, unsigned bin)
{
    uint32_t self = survey->heads[arena].self[bin], cell = survey->heads[arena].fd[bin];
    struct free_node *before = NULL, *last = NULL, *behind = NULL; /* the three met last */
    unsigned read = 0;                                             /* in a row, up to `before` */

    for (uint64_t i = 0; i <= survey->node_count && cell != self; i++) {
        struct free_node *node = survey_find(survey, cell);

        if (!node || node_is_skipped(node) || node->bk != (behind ? behind->at : self))
            return;
        if (before && read >= 2 && can_leave_out(before, last, behind)) {
            last->size |= NODE_SKIPPED;
            read = 0;
        } else if (last) {
            read++;
        }
        before = last;
        last = behind;
        behind = node;
        cell = node->fd;
    }
}

void survey_select(struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->head_count; i++)
        for (unsigned bin = SURVEY_UNSORTED + 1; bin < BIN_COUNT; bin++)
            select_list(survey, i, bin);
}
