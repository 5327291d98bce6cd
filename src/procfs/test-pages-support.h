/* For the tests of pages.h: a victim that wrote down what it did, and page states gathered from it. */
#pragma once

#include <stdlib.h>

#include "procfs/pages.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

#define TIB (UINT64_C(1) << 40)
#define GIB (UINT64_C(1) << 30)

enum { ANON_PAGES = 12000, SHARED_PAGES = 3000, FILE_PAGES = 3000, HUGE_PAGES = 8 };

/* Filled by the victim: what it did, so that the kernel's answer can be held against it. */
struct plan {
    char *anon, *shared, *file, *huge;
    char *reservation, *touched_first, *touched_late;
    uint8_t anon_state[ANON_PAGES];
    bool has_guards;
    char path[64];
};

struct runs {
    struct page_run *items;
    size_t count, capacity;
};

struct world {
    struct plan *plan;
    struct victim victim;
    struct page_source source;
};

/* In the victim: ends it if `condition` does not hold, which the test notices. */
void require(bool condition);
void touch(volatile char *at);

/* Starts a victim that calls `make` with its plan, and opens its pages. */
int world_setup(struct world *world, void (*make)(void *context));
int world_teardown(void **state);

/* All runs of a range; what pages.h promises of them is asserted. The caller frees the items. */
struct runs runs_collect(const struct page_source *source, struct range range, unsigned want);
void runs_push(struct runs *runs, struct page_run run);
void assert_same_runs(struct runs a, struct runs b);
uint64_t resident_bytes(struct runs runs);

/* The same source as on a kernel before 6.7. */
struct page_source without_scan(const struct page_source *source);
struct range pages_at(const char *at, size_t count);
