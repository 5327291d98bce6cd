/*
 * In a stop: every chunk that the survey noted is read again, many at a time and in address order,
 * and compared; then what the changed ones and the list ends lead to and nobody knew is read, until
 * nothing new turns up.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/survey.h"

enum {
    NODE_BYTES = 32, /* prev_size, size, fd, bk */
    PIECES_MOST = 1024,
    PIECE_BYTES = 64 << 10,
    NEAR_BYTES =
        3072, /* nodes this close are read in one piece: a page costs hardly more than a node */
    BUFFER_BYTES = 256 << 10, /* small: each page of it is a fault, in the stop */
    ROUNDS_MOST = 1 << 18,
    STATE_BYTES_MOST = 2200,
};

/* What one thread reads. */
struct reading {
    const struct heap_view *view;
    struct heap_survey *survey;
    size_t first, end; /* of the parts */
    const struct cell_space *hint;
    struct changed_nodes changed;
    uint8_t *buffer;
    size_t buffered;
    struct memory_piece pieces[PIECES_MOST];
    size_t piece_count;
    remote_addr window; /* that `flags` are of; 0: none yet */
    uint8_t flags[WINDOW_PAGES];
    struct why why;
    int result;
};

/* The chunk before a binned one is in use, always: else they would be one. */
static void decode(const struct reading *reading, const uint8_t *bytes, struct free_node *node,
                   const struct cell_space **hint)
{
    const struct cells *cells = &reading->survey->cells;
    uint64_t size = field_u64(bytes, 8);

    node->size = 0;
    node->fd = node->bk = CELL_NONE;
    if ((size & CHUNK_FLAGS & ~CHUNK_NON_MAIN) != CHUNK_PREV_INUSE || size & 8 ||
        size < CHUNK_MIN_BYTES || size / CHUNK_ALIGNMENT >= NODE_SKIPPED)
        return;
    node->size = (uint32_t)(size / CHUNK_ALIGNMENT);
    node->fd = cell_of(cells, field_u64(bytes, 16), hint);
    node->bk = cell_of(cells, field_u64(bytes, 24), hint);
}

/* Takes what was read now (NULL: it could not be), and remembers what was before. */
static int compare(struct reading *reading, struct free_node *node, const uint8_t *bytes)
{
    struct free_node now = {.at = node->at};
    struct changed_node changed = {.node = node, .fd = node->fd, .bk = node->bk};

    node->size &= ~NODE_SKIPPED;
    if (bytes)
        decode(reading, bytes, &now, &reading->hint);
    if (now.size == node->size && now.fd == node->fd && now.bk == node->bk && now.size)
        return 0;
    *node = now;
    return vector_push(&reading->changed, changed);
}

static remote_addr address_in(const struct survey_part *part, const struct free_node *node,
                              const struct cell_space *space)
{
    return space->range.start + (uint64_t)(node->at - space->first) * CHUNK_ALIGNMENT;
}

/* Nodes [first, end) are what the pieces hold. */
static int flush(struct reading *reading, struct survey_part *part, const struct cell_space *space,
                 size_t first, size_t end)
{
    size_t piece = 0;
    int r =
        memory_gather(reading->view->memory, reading->pieces, reading->piece_count, &reading->why);

    for (size_t i = first; r == 0 && i < end; i++) {
        remote_addr chunk = address_in(part, &part->nodes.items[i], space);
        const struct memory_piece *in;

        if (node_is_skipped(&part->nodes.items[i]))
            continue;
        while (chunk >= reading->pieces[piece].address + reading->pieces[piece].length)
            piece++;
        in = &reading->pieces[piece];
        r = compare(reading, &part->nodes.items[i],
                    in->ok ? (uint8_t *)in->to + (chunk - in->address) : NULL);
    }
    reading->piece_count = 0;
    reading->buffered = 0;
    return r;
}

/* Extends the last piece up to the end of this node, or begins another. False when it is to be
 * flushed before. */
static bool add_piece(struct reading *reading, remote_addr chunk, bool exclusive)
{
    struct memory_piece *last =
        reading->piece_count ? &reading->pieces[reading->piece_count - 1] : NULL;
    uint64_t longer = last ? chunk + NODE_BYTES - last->address : 0;

    if (last && last->exclusive == exclusive && longer <= PIECE_BYTES &&
        chunk - (last->address + last->length) < NEAR_BYTES &&
        reading->buffered + longer - last->length <= BUFFER_BYTES) {
        reading->buffered += longer - last->length;
        last->length = (uint32_t)longer;
        return true;
    }
    if (reading->piece_count == PIECES_MOST || reading->buffered + NODE_BYTES > BUFFER_BYTES)
        return false;
    reading->pieces[reading->piece_count++] =
        (struct memory_piece){.address = chunk,
                              .length = NODE_BYTES,
                              .exclusive = exclusive,
                              .to = reading->buffer + reading->buffered};
    reading->buffered += NODE_BYTES;
    return true;
}

/* What all pages of a node's have in common: PAGE_PRESENT, PAGE_EXCLUSIVE. */
static uint8_t page_flags_of(struct reading *reading, remote_addr chunk)
{
    uint8_t common = PAGE_PRESENT | PAGE_EXCLUSIVE;

    for (remote_addr at = align_down(chunk, PAGE_BYTES); at < chunk + NODE_BYTES;
         at += PAGE_BYTES) {
        remote_addr window = align_down(at, WINDOW_BYTES);
        uint8_t flags;

        if (window != reading->window &&
            memory_page_flags(reading->view->memory, window, WINDOW_PAGES, reading->flags, NULL))
            return 0;
        reading->window = window;
        flags = reading->flags[(at - window) / PAGE_BYTES];
        common &= page_is_resident(flags) ? flags : 0;
    }
    return common;
}

/* One that is not present cannot be free as it was; told as changed, and the batch is cut there. */
static int read_part(struct reading *reading, struct survey_part *part)
{
    struct free_nodes *nodes = &part->nodes;
    const struct cell_space *space =
        nodes->count ? cells_space(&reading->survey->cells, part->limit - 1) : NULL;
    size_t first = 0, i = 0;
    int r = 0;

    while (r == 0 && i < nodes->count) {
        remote_addr chunk = address_in(part, &nodes->items[i], space);

        uint8_t flags = node_is_skipped(&nodes->items[i]) ? 0 : page_flags_of(reading, chunk);

        if (node_is_skipped(&nodes->items[i])) {
            i++;
        } else if (!(flags & PAGE_PRESENT)) {
            r = flush(reading, part, space, first, i);
            if (r == 0)
                r = compare(reading, &nodes->items[i], NULL);
            first = ++i;
        } else if (add_piece(reading, chunk, flags & PAGE_EXCLUSIVE)) {
            i++;
        } else {
            r = flush(reading, part, space, first, i);
            first = i;
        }
    }
    return r ? r : flush(reading, part, space, first, i);
}

static void *read_parts(void *context)
{
    struct reading *reading = context;

    reading->buffer = malloc(BUFFER_BYTES);
    reading->result = reading->buffer ? 0 : -ENOMEM;
    for (size_t i = reading->first; reading->result == 0 && i < reading->end; i++)
        reading->result = read_part(reading, &reading->survey->parts[i]);
    free(reading->buffer);
    return NULL;
}

static int add_changed(struct heap_survey *survey, struct changed_nodes *from)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < from->count; i++)
        r = vector_push(&survey->changed, from->items[i]);
    free(from->items);
    return r;
}

/* The part by which half of the nodes have come. */
static size_t middle_part(const struct heap_survey *survey)
{
    uint64_t nodes = 0;
    size_t i = 0;

    while (i < survey->part_count && nodes < survey->node_count / 2)
        nodes += survey->parts[i++].nodes.count;
    return i;
}

static int read_all(const struct heap_view *view, struct heap_survey *survey, struct why *why)
{
    auto_free struct reading *low = calloc(1, sizeof *low), *high = calloc(1, sizeof *high);
    pthread_t helper;
    bool helped;
    int r;

    if (!low || !high)
        return -ENOMEM;
    low->view = high->view = view;
    low->survey = high->survey = survey;
    low->end = high->first = middle_part(survey);
    high->end = survey->part_count;
    helped = pthread_create(&helper, NULL, read_parts, high) == 0;
    read_parts(low);
    if (helped)
        pthread_join(helper, NULL);
    else
        read_parts(high);
    r = low->result ? low->result : high->result;
    if (r && why)
        *why = low->result ? low->why : high->why;
    if (r == 0)
        r = add_changed(survey, &low->changed);
    return r ? r : add_changed(survey, &high->changed);
}

static int read_arena_heads(const struct heap_view *view, const struct glibc *glibc,
                            const struct cells *cells, remote_addr arena, struct arena_heads *ret,
                            struct why *why)
{
    const struct cell_space *own = NULL, *hint = NULL;
    uint8_t state[STATE_BYTES_MOST];
    int r = memory_read(view->memory, arena, state, glibc->state->size, why);

    for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++) {
        const uint8_t *pair = state + glibc->state->bins + 16 * (size_t)bin;

        ret->self[bin] = cell_of(cells, bin_header(glibc->state, arena, bin + 1), &own);
        ret->fd[bin] = cell_of(cells, field_u64(pair, 0), &hint);
        ret->bk[bin] = cell_of(cells, field_u64(pair, 8), &hint);
    }
    return r;
}

int survey_read_heads(const struct heap_view *view, const struct glibc *glibc,
                      struct heap_survey *survey, struct why *why)
{
    const struct heap_arenas *arenas = &glibc->heap.arenas;
    int r = 0;

    free(survey->heads);
    survey->head_count = arenas->count;
    survey->heads = calloc(arenas->count + 1, sizeof *survey->heads);
    if (!survey->heads)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < arenas->count; i++)
        r = read_arena_heads(view, glibc, &survey->cells, arenas->items[i].address,
                             &survey->heads[i], why);
    return r;
}

/* What was or is next to something that changed is to be read, unless it has been. */
static int ask_for(struct heap_survey *survey, uint32_t cell)
{
    struct free_node *node = NULL;
    size_t arena, bin;
    int r;

    if (cell == CELL_NONE || survey_is_head(survey, cell, &arena, &bin))
        return 0;
    node = survey_find(survey, cell);
    if (node && !node_is_skipped(node))
        return 0;
    if (node) {
        node->size &= ~NODE_SKIPPED;
        return vector_push(&survey->pending, cell);
    }
    if (survey->extras.count == EXTRAS_MOST)
        return OUTCOME_TORN;
    r = extra_nodes_add(&survey->extras, survey_address(survey, cell), cell);
    return r ? r : vector_push(&survey->pending, cell);
}

static int ask_for_both(struct heap_survey *survey, uint32_t a, uint32_t b)
{
    int r = ask_for(survey, a);

    return r ? r : ask_for(survey, b);
}

static int take_old_ends(struct heap_survey *survey, uint32_t fd, uint32_t bk)
{
    int r = ask_for_both(survey, fd, bk);

    if (r == 0)
        r = vector_push(&survey->ends, fd);
    return r ? r : vector_push(&survey->ends, bk);
}

/* What list ends led to when the survey ended, and what they lead to now. */
static int ask_for_ends(struct heap_survey *survey, const struct arena_heads *before,
                        size_t count_before)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->head_count; i++) {
        const struct arena_heads *now = &survey->heads[i], *old = NULL;

        for (size_t k = 0; k < count_before && !old; k++)
            if (before[k].self[0] == now->self[0])
                old = &before[k];
        for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++) {
            bool same = old && old->fd[bin] == now->fd[bin] && old->bk[bin] == now->bk[bin];

            if (!same)
                r = ask_for_both(survey, now->fd[bin], now->bk[bin]);
            if (r == 0 && old && !same)
                r = take_old_ends(survey, old->fd[bin], old->bk[bin]);
        }
    }
    return r;
}

static int ask_for_changed(struct heap_survey *survey, size_t first)
{
    int r = 0;

    for (size_t i = first; r == 0 && i < survey->changed.count; i++) {
        const struct changed_node changed = survey->changed.items[i];

        r = ask_for_both(survey, changed.fd, changed.bk);
        if (r == 0)
            r = ask_for_both(survey, changed.node->fd, changed.node->bk);
    }
    return r;
}

/* A surveyed one is compared with what it was; of another, all that it leads to is new. */
static int take_pending(struct reading *reading, uint32_t cell, const uint8_t *bytes)
{
    struct heap_survey *survey = reading->survey;
    struct extra_node *extra = extra_nodes_find(&survey->extras, cell);
    struct free_node node;

    if (!extra)
        return compare(reading, survey_find(survey, cell), bytes);
    node = extra->node;
    node.size = 0;
    node.fd = node.bk = CELL_NONE;
    if (bytes)
        decode(reading, bytes, &node, &reading->hint);
    extra->node = node;
    return ask_for_both(survey, node.fd, node.bk);
}

/* Reads the pending cells from `first` on, as many as fit; how many is `*ret_count`. */
static int read_pending(struct reading *reading, size_t first, size_t *ret_count)
{
    struct heap_survey *survey = reading->survey;
    size_t count = survey->pending.count - first, pieces = 0;
    uint32_t of[PIECES_MOST];
    int r = 0;

    if (count > PIECES_MOST)
        count = PIECES_MOST;
    for (size_t i = 0; r == 0 && i < count; i++) {
        uint32_t cell = survey->pending.items[first + i];
        remote_addr chunk = survey_address(survey, cell);

        uint8_t flags = page_flags_of(reading, chunk);

        if (!(flags & PAGE_PRESENT)) {
            r = take_pending(reading, cell, NULL);
            continue;
        }
        of[pieces] = cell;
        reading->pieces[pieces] =
            (struct memory_piece){.address = chunk,
                                  .length = NODE_BYTES,
                                  .exclusive = flags & PAGE_EXCLUSIVE,
                                  .to = reading->buffer + pieces * NODE_BYTES};
        pieces++;
    }
    if (r == 0)
        r = memory_gather(reading->view->memory, reading->pieces, pieces, &reading->why);
    for (size_t i = 0; r == 0 && i < pieces; i++)
        r = take_pending(reading, of[i], reading->pieces[i].ok ? reading->pieces[i].to : NULL);
    *ret_count = count;
    return r;
}

/* What the reading found changed is the survey's then, and asked about. */
static int take_changed(struct reading *reading)
{
    size_t first = reading->survey->changed.count;
    int r = add_changed(reading->survey, &reading->changed);

    reading->changed = (struct changed_nodes){0};
    return r ? r : ask_for_changed(reading->survey, first);
}

static int read_until_known(const struct heap_view *view, struct heap_survey *survey,
                            struct why *why)
{
    auto_free struct reading *reading = calloc(1, sizeof *reading);
    auto_free uint8_t *buffer = malloc(PIECES_MOST * NODE_BYTES);
    size_t done = 0, count = 0;
    int r = reading && buffer ? ask_for_changed(survey, 0) : -ENOMEM;

    if (r == 0)
        *reading = (struct reading){.view = view, .survey = survey, .buffer = buffer};
    for (unsigned round = 0; r == 0 && done < survey->pending.count; round++) {
        r = round == ROUNDS_MOST ? OUTCOME_TORN : read_pending(reading, done, &count);
        done += count;
        if (r == 0)
            r = take_changed(reading);
    }
    if (reading)
        free(reading->changed.items);
    return r == OUTCOME_TORN
               ? why_set(why, r, "its free lists change faster than they can be followed")
               : r;
}

/* Those that earlier stops found besides are read again, like everything. */
static int ask_for_extras(struct heap_survey *survey)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->extras.count; i++)
        r = vector_push(&survey->pending, survey->extras.items[i].node.at);
    return r;
}

int glibc_capture(const struct heap_view *view, const struct heap *heap, struct heap_survey *survey,
                  struct why *why)
{
    struct arena_heads *before = survey->heads;
    size_t count_before = survey->head_count;
    int r = survey_add_cells(survey, glibc_of_const(heap));

    for (size_t i = 0; i < heap->arenas.count; i++)
        if (heap->arenas.items[i].refused)
            return why_set(why, OUTCOME_NOT_POSSIBLE, "one of its arenas is refused");
    survey->heads = NULL;
    survey->changed.count = survey->pending.count = 0;
    if (r == 0)
        r = survey_read_heads(view, glibc_of_const(heap), survey, why);
    if (r == 0)
        r = read_all(view, survey, why);
    if (r == 0)
        r = ask_for_extras(survey);
    if (r == 0)
        r = ask_for_ends(survey, before, count_before);
    free(before);
    return r ? r : read_until_known(view, survey, why);
}
