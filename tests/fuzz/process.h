/*
 * A small process, captured once (capture.c) and kept as a text file in processes/, for changing and decoding again
 * and again. Only the words of its memory that are not zero are kept; they are few, and so an input needs no more than
 * a list of changes to get deep into a decoder. The file:
 *
 *     map LINE                   as in /proc/PID/maps
 *     thread TID POINTER         its id and thread pointer (hexadecimal, as all that follows)
 *     page ADDRESS FLAGS         a page in memory, with its state (enum page_flag)
 *     @OFFSET WORD...            words in it
 */
#pragma once

#include "fuzz.h"
#include "heap/heap.h"
#include "mem/fake.h"

enum { PROCESS_THREADS_MOST = 8, PROCESS_EXTENTS_MOST = 64 };

struct fuzz_process {
    struct maps maps;
    struct heap_thread threads[PROCESS_THREADS_MOST];
    size_t thread_count;
    struct fake_extent extents[PROCESS_EXTENTS_MOST]; /* ascending */
    size_t extent_count;
    struct fuzz_words {
        remote_addr *items; /* addresses of words that are not zero, and of those behind them; ascending */
        size_t count, capacity;
    } words;
    struct fake_memory memory;
    /* as it was captured */
    struct vma *vmas;
    struct fuzz_undo {
        struct fuzz_old {
            uint8_t *at;
            uint8_t byte;
        } *items;
        size_t count, capacity;
    } undo;
};

/* What is done to a process before it is decoded. */
struct fuzz_edit {
    uint8_t kind; /* enum fuzz_edit_kind, modulo FUZZ_EDITS */
    uint8_t how;
    uint16_t where; /* an index, modulo what there is: of a word, a page or a mapping */
    uint8_t value[8];
};

enum fuzz_edit_kind {
    EDIT_SET,   /* word = value */
    EDIT_XOR,
    EDIT_ADD,
    EDIT_POINT, /* word = address of the word with index value, aligned as chunks are */
    EDIT_COPY,  /* word = the word with index value */
    EDIT_STORE, /* 1 to 8 low bytes of value, at any byte of the word */
    EDIT_SPLIT, /* the size word of a chunk: the chunk becomes two, of which the first has value bytes */
    EDIT_PAGE,  /* a page's state = how */
    EDIT_MAP,   /* a mapping's kind ^= how, or it is moved or resized by value pages */
    EDIT_LINK,  /* as EDIT_POINT, mangled as glibc 2.32 and later mangle the links of their lists */
    FUZZ_EDITS,
};
/* In `how` of word edits: `where` and value count all words of memory, not only those in use. */
enum { EDIT_ANY_WORD = 0x80 };

void fuzz_process_load(struct fuzz_process *process, const char *path);
/* The same of one that is in memory already. All of it is copied but the mappings' names. */
void fuzz_process_adopt(struct fuzz_process *process, const struct heap_view *view,
                        const struct fake_extent *extents, size_t extent_count);
void fuzz_process_edit(struct fuzz_process *process, const struct fuzz_edit *edit);

/* Overwrites memory from `page`, an index, on; what does not fit is left out. */
void fuzz_process_fill(struct fuzz_process *process, size_t page, size_t offset, const uint8_t *data, size_t size);

/* Takes back all edits. */
void fuzz_process_restore(struct fuzz_process *process);

/* Bytes of `range` that are resident. */
uint64_t fuzz_process_resident(const struct fuzz_process *process, struct range range);
