/* The walk of a heap that goes on changing: what is kept from the survey to the sweep. */
#pragma once

#include "heap/glibc/glibc.h"
#include "heap/glibc/nodes.h"

/* Where fences were met: they stay, since what they close is closed for good. */
struct fence_ranges {
    struct range *items; /* ascending */
    size_t count, capacity;
};

/* A stretch of a region, as it was surveyed. */
struct survey_part {
    struct heap_region region; /* a copy: the heap it came from has been closed */
    remote_addr begin, limit;
    uint32_t first_cell, end_cell;
    struct free_nodes nodes;
    struct heap_census census; /* what was counted where it could be walked */
    bool foreign;              /* there are bytes in it that another caller of sbrk got */
    unsigned torn;             /* how often it had to be taken up again further on */
    remote_addr started, arrived; /* where its walk began and ended, limit at least; `arrived` 0: it lost its way */
    struct fence_ranges fences;
    int result;
};

/* A chunk that became free, or changed, after the survey. */
struct extra_node {
    remote_addr chunk;
    struct free_node node;
};

struct extra_nodes {
    struct extra_node *items;
    size_t count, capacity;
    uint32_t *slots;           /* open addressing: index + 1 by cell */
    size_t slot_count;
};

/* A surveyed node that a stop found changed: where it led before. */
struct changed_node {
    struct free_node *node;
    uint32_t fd, bk;
};

struct changed_nodes {
    struct changed_node *items;
    size_t count, capacity;
};

/* One that turned out to be on no list, and its size, with NODE_SKIPPED. */
struct struck_node {
    struct free_node *node;
    uint32_t size;
};

struct struck_nodes {
    struct struck_node *items;
    size_t count, capacity;
};

struct pending_cells {
    uint32_t *items;
    size_t count, capacity;
};

enum { SURVEY_UNSORTED = 0 }; /* the index of the list that is not sorted by size */

/* The list ends of one arena's bins, in cells: [bin - 1]. */
struct arena_heads {
    uint32_t self[BIN_COUNT], fd[BIN_COUNT], bk[BIN_COUNT];
};

struct heap_survey {
    struct cells cells;
    struct survey_part *parts; /* ascending by address */
    size_t part_count;
    uint64_t node_count;
    struct arena_heads *heads; /* one an arena, as read last */
    size_t head_count;
    struct changed_nodes changed;
    struct extra_nodes extras;
    struct struck_nodes struck;  /* by the last attempt to resolve */
    struct pending_cells ends;    /* which lists ended with once, and no longer do */
    struct pending_cells pending; /* to be read; only while capturing */
};

/* Adds what is new of the heap's places; ranges that are there already stay what they are. */
int survey_add_cells(struct heap_survey *survey, const struct glibc *glibc) must_check;

/* capture.c: the list ends of all arenas, as they are now. */
int survey_read_heads(const struct heap_view *view, const struct glibc *glibc, struct heap_survey *survey,
                      struct why *why) must_check;

/* Sums of hash_address: of what is known, and of what its links lead to. List ends are among both. */
struct closure {
    uint64_t cells, fd, bk;
    uint64_t count; /* of chunks */
};

struct closure survey_closure(const struct heap_survey *survey);

/*
 * closure.c: notes as extras what the surveyed chunks lead to and nobody has met: chunks that became free behind the walk.
 * 0, -ENOMEM, OUTCOME_NOT_POSSIBLE when they are too many.
 */
int survey_note_beyond(struct heap_survey *survey) must_check;

/* select.c: marks the nodes that need not be read in the stop. */
void survey_select(struct heap_survey *survey);

/* More than this is not kept: 16 bytes each. */
#define SURVEY_NODES_MOST (UINT64_C(5) << 19)

/* Chunks that turn up besides those that the survey met: 32 bytes each. */
#define EXTRAS_MOST ((size_t)1 << 20)

/* Where `cell` begins; 0: it is none. */
remote_addr survey_address(const struct heap_survey *survey, uint32_t cell);

/* The node or extra at `cell`, or NULL. */
struct free_node *survey_find(const struct heap_survey *survey, uint32_t cell);
struct extra_node *extra_nodes_find(const struct extra_nodes *extras, uint32_t cell);
int extra_nodes_add(struct extra_nodes *extras, remote_addr chunk, uint32_t cell) must_check;
void extra_nodes_clear(struct extra_nodes *extras);

/* Whether `cell` is a bin's own end, and whose. False for others. */
bool survey_is_head(const struct heap_survey *survey, uint32_t cell, size_t *ret_arena, size_t *ret_bin);
