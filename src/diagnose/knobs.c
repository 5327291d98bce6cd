#include "diagnose/knobs.h"

#include <string.h>

/* HEAP_MAX_SIZE / 2 and MAX_TCACHE_SIZE, until they were no limits any more. */
#define THRESHOLD_MOST (UINT64_C(32) << 20)
#define CACHE_MOST     1032

#define AT(field) offsetof(struct heap_settings, field)

/* elf/dl-tunables.list and malloc/arena.c. */
static const struct knob knobs[] = {
    {"MALLOC_ARENA_MAX", "glibc.malloc.arena_max", KNOB_SETTING, AT(arena_max), 1, UINT64_MAX},
    {"MALLOC_ARENA_TEST", "glibc.malloc.arena_test", KNOB_SETTING, AT(arena_test), 1, UINT64_MAX},
    {"MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", KNOB_DYNAMIC, AT(trim_threshold), 0,
     UINT64_MAX},
    {"MALLOC_TOP_PAD_", "glibc.malloc.top_pad", KNOB_DYNAMIC, AT(top_pad), 0, UINT64_MAX},
    {"MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", KNOB_DYNAMIC, AT(mmap_threshold), 0,
     UINT64_MAX},
    {"MALLOC_MMAP_MAX_", "glibc.malloc.mmap_max", KNOB_DYNAMIC, AT(mmap_max), 0, INT32_MAX},
    {"MALLOC_PERTURB_", "glibc.malloc.perturb", KNOB_UNSEEN, 0, 0, 255},
    {"MALLOC_CHECK_", "glibc.malloc.check", KNOB_CHECK, 0, 0, 3},
    {NULL, "glibc.malloc.tcache_count", KNOB_SETTING, AT(tcache_count), 0, UINT16_MAX},
    {NULL, "glibc.malloc.tcache_max", KNOB_CACHE, AT(tcache_max_bytes), 0, UINT64_MAX},
    {NULL, "glibc.malloc.tcache_unsorted_limit", KNOB_UNSEEN, 0, 0, UINT64_MAX},
    {NULL, "glibc.malloc.mxfast", KNOB_UNSEEN, 0, 0, 160},
    {NULL, "glibc.malloc.hugetlb", KNOB_HUGE, 0, 0, UINT64_MAX},
};

const struct knob *knob_named(const char *name)
{
    for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++)
        if ((knobs[i].variable && strcmp(knobs[i].variable, name) == 0) ||
            strcmp(knobs[i].tunable, name) == 0)
            return &knobs[i];
    return NULL;
}

/* Length of the name without underscores at its end. */
static size_t stem(const char *name)
{
    size_t length = strlen(name);

    while (length && name[length - 1] == '_')
        length--;
    return length;
}

const char *knob_meant_by(const char *name)
{
    for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++) {
        const char *variable = knobs[i].variable;

        if (variable && strcmp(variable, name) != 0 && stem(variable) == stem(name) &&
            strncmp(variable, name, stem(name)) == 0)
            return variable;
    }
    return NULL;
}

uint64_t knob_most(const struct knob *knob, unsigned version)
{
    /* do_set_mmap_threshold, until 2.35 (0a4df6f534). */
    if (version && version < 235 && knob->setting == AT(mmap_threshold) &&
        knob->kind == KNOB_DYNAMIC)
        return THRESHOLD_MOST;
    /* do_set_tcache_max, until 2.42 got bins for larger chunks (cbfd798810). */
    if (version && version < 242 && knob->kind == KNOB_CACHE)
        return CACHE_MOST;
    return knob->most;
}
