/* Whose the bytes are that no decoder explains, as far as it can be told. What cannot is not named. */
#pragma once

#include "heap/heap.h"
#include "heap/recognise.h"
#include "ledger/ledger.h"

/* Unexplained bytes of one recognised owner. */
struct unexplained_owner {
    char name[64];          /* "jemalloc", "V8", ...; several joined by " or " when they cannot be told apart */
    char version[32];       /* "" when not known */
    uint64_t bytes;
    const char *evidence;   /* static: how it was attributed: "by the mapping's name", "nothing else is here", ... */
};

struct unexplained_owners {
    struct unexplained_owner *items;
    size_t count, capacity;
};

/* A mapping of which less than this is left over is nobody's: thread-local storage, the loader's lists. */
#define UNEXPLAINED_LEAST UINT64_C(65536)

/* What is gone by. All borrowed. */
struct unexplained_view {
    const struct owners *owners;
    const struct unexplained_pieces *pieces; /* as ledger_add_mappings made them for `maps` */
    const struct maps *maps;
    struct memory *memory;   /* NULL: content is not read. The process need not be stopped for it */
    const struct heap *heap; /* the decoded one: what of it was not walked is its own, and the rest is not. NULL: none */
    bool stacks_known;       /* no stack is among the pieces; else what looks like one is not named */
};

/*
 * Attributes the pieces: by the mapping's name; then by content, at a bounded number of places; then, if only one owner
 * keeps memory of its own, to it. What cannot be told is not named, so that the bytes never exceed the pieces'.
 * Release with free(ret->items). 0 or negative errno.
 */
int unexplained_attribute(const struct unexplained_view *view, struct unexplained_owners *ret, struct why *why)
    must_check;
