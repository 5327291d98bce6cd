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
    EXTRAS_MOST = 1 << 20,
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
        size < CHUNK_MIN_BYTES || size / CHUNK_ALIGNMENT > UINT32_MAX)
        return;
    node->size = (uint32_t)(size / CHUNK_ALIGNMENT);
    node->fd = cell_of(cells, field_u64(bytes, 16), hint);
    node->bk = cell_of(cells, field_u64(bytes, 24), hint);
}

static int compare(struct reading *reading, struct free_node *node, const uint8_t *bytes)
{
    struct free_node now = {.at = node->at};
    struct changed_node changed = {.node = node, .fd = node->fd, .bk = node->bk};

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
static bool add_piece(struct reading *reading, remote_addr chunk)
{
    struct memory_piece *last =
        reading->piece_count ? &reading->pieces[reading->piece_count - 1] : NULL;
    uint64_t longer = last ? chunk + NODE_BYTES - last->address : 0;

    if (last && longer <= PIECE_BYTES && chunk - (last->address + last->length) < NEAR_BYTES &&
        reading->buffered + longer - last->length <= BUFFER_BYTES) {
        reading->buffered += longer - last->length;
        last->length = (uint32_t)longer;
        return true;
    }
    if (reading->piece_count == PIECES_MOST || reading->buffered + NODE_BYTES > BUFFER_BYTES)
        return false;
    reading->pieces[reading->piece_count++] = (struct memory_piece){
        .address = chunk, .length = NODE_BYTES, .to = reading->buffer + reading->buffered};
    reading->buffered += NODE_BYTES;
    return true;
}

static bool is_present(struct reading *reading, remote_addr chunk)
{
    bool present = true;

    for (remote_addr at = align_down(chunk, PAGE_BYTES); at < chunk + NODE_BYTES;
         at += PAGE_BYTES) {
        remote_addr window = align_down(at, WINDOW_BYTES);

        if (window != reading->window &&
            memory_page_flags(reading->view->memory, window, WINDOW_PAGES, reading->flags, NULL))
            return false;
        reading->window = window;
        present &= page_is_resident(reading->flags[(at - window) / PAGE_BYTES]);
    }
    return present;
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

        if (!is_present(reading, chunk)) {
            r = flush(reading, part, space, first, i);
            if (r == 0)
                r = compare(reading, &nodes->items[i], NULL);
            first = ++i;
        } else if (add_piece(reading, chunk)) {
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

/* The list ends of all arenas, as they are now. */
static int read_heads(const struct heap_view *view, const struct glibc *glibc,
                      struct heap_survey *survey, struct why *why)
{
    const struct heap_arenas *arenas = &glibc->heap.arenas;
    int r = 0;

    free(survey->heads);
    survey->head_count = arenas->count;
    survey->heads = calloc(arenas->count + 1, sizeof *survey->heads);
    if (!survey->heads)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < arenas->count; i++) {
        struct arena_heads *heads = &survey->heads[i];
        const struct cell_space *own = NULL, *hint = NULL;
        uint8_t state[STATE_BYTES_MOST];

        r = memory_read(view->memory, arenas->items[i].address, state, glibc->state->size, why);
        for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++) {
            const uint8_t *pair = state + glibc->state->bins + 16 * (size_t)bin;

            heads->self[bin] = cell_of(
                &survey->cells, bin_header(glibc->state, arenas->items[i].address, bin + 1), &own);
            heads->fd[bin] = cell_of(&survey->cells, field_u64(pair, 0), &hint);
            heads->bk[bin] = cell_of(&survey->cells, field_u64(pair, 8), &hint);
        }
    }
    return r;
}

static remote_addr address_of_cell(const struct heap_survey *survey, uint32_t cell)
{
    for (size_t i = 0; i < survey->cells.count; i++) {
        const struct cell_space *space = &survey->cells.items[i];

        if (cell - space->first < (range_length(space->range) + 15) / CHUNK_ALIGNMENT)
            return space->range.start + (uint64_t)(cell - space->first) * CHUNK_ALIGNMENT;
    }
    return 0;
}

/* What a link leads to, if nobody knows it yet, is to be read. */
static int follow(struct heap_survey *survey, uint32_t cell)
{
    size_t arena, bin;

    if (cell == CELL_NONE || survey_is_head(survey, cell, &arena, &bin) ||
        survey_find(survey, cell))
        return 0;
    if (survey->extras.count == EXTRAS_MOST)
        return OUTCOME_TORN;
    return extra_nodes_add(&survey->extras, address_of_cell(survey, cell), cell);
}

/* Where whatever was found changed leads to now. */
static int follow_changed(struct heap_survey *survey)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < survey->changed.count; i++) {
        r = follow(survey, survey->changed.items[i].node->fd);
        if (r == 0)
            r = follow(survey, survey->changed.items[i].node->bk);
    }
    for (size_t i = 0; r == 0 && i < survey->head_count; i++)
        for (unsigned bin = 0; r == 0 && bin < BIN_COUNT; bin++) {
            r = follow(survey, survey->heads[i].fd[bin]);
            if (r == 0)
                r = follow(survey, survey->heads[i].bk[bin]);
        }
    return r;
}

/* Reads extras [first, end), at most as many as fit, and follows them. */
static int read_extras(struct reading *reading, size_t first, size_t end)
{
    struct extra_nodes *extras = &reading->survey->extras;
    size_t count = 0;
    int r;

    for (size_t i = first; i < end; i++)
        if (is_present(reading, extras->items[i].chunk))
            reading->pieces[count++] =
                (struct memory_piece){.address = extras->items[i].chunk,
                                      .length = NODE_BYTES,
                                      .to = reading->buffer + (i - first) * NODE_BYTES};
    r = memory_gather(reading->view->memory, reading->pieces, count, &reading->why);
    for (size_t i = 0; r == 0 && i < count; i++) {
        size_t index =
            first + (size_t)((uint8_t *)reading->pieces[i].to - reading->buffer) / NODE_BYTES;
        struct free_node node = extras->items[index].node;

        if (reading->pieces[i].ok)
            decode(reading, reading->pieces[i].to, &node, &reading->hint);
        extras->items[index].node = node;
        r = follow(reading->survey, node.fd);
        if (r == 0)
            r = follow(reading->survey, node.bk);
    }
    return r;
}

static int read_until_known(const struct heap_view *view, struct heap_survey *survey,
                            struct why *why)
{
    auto_free struct reading *reading = calloc(1, sizeof *reading);
    auto_free uint8_t *buffer = malloc(PIECES_MOST * NODE_BYTES);
    size_t done = 0;
    int r = reading && buffer ? follow_changed(survey) : -ENOMEM;

    if (reading)
        *reading = (struct reading){.view = view, .survey = survey, .buffer = buffer};
    for (unsigned round = 0; r == 0 && done < survey->extras.count; round++) {
        size_t end = survey->extras.count;

        if (round == ROUNDS_MOST)
            r = OUTCOME_TORN;
        if (end - done > PIECES_MOST)
            end = done + PIECES_MOST;
        if (r == 0)
            r = read_extras(reading, done, end);
        done = end;
    }
    return r == OUTCOME_TORN
               ? why_set(why, r, "its free lists change faster than they can be followed")
               : r;
}

int glibc_capture(const struct heap_view *view, const struct heap *heap, struct heap_survey *survey,
                  struct why *why)
{
    int r = survey_add_cells(survey, glibc_of_const(heap));

    for (size_t i = 0; i < heap->arenas.count; i++)
        if (heap->arenas.items[i].refused)
            return why_set(why, OUTCOME_NOT_POSSIBLE, "one of its arenas is refused");
    survey->changed.count = 0;
    if (r == 0)
        r = read_all(view, survey, why);
    if (r == 0)
        r = read_heads(view, glibc_of_const(heap), survey, why);
    return r ? r : read_until_known(view, survey, why);
}
