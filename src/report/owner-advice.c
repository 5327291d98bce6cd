/* Sources: each one's own manual; where a version decides, the release that brought the setting. */
#include "report/owner-advice.h"

#include <stdio.h>
#include <string.h>

enum { LEAST_BYTES = 1 << 20, SHARE = 10 };

/* At least this version; an unknown one is not. */
static bool since(const struct unexplained_owner *owner, unsigned major, unsigned minor)
{
    unsigned has_major, has_minor = 0;

    return sscanf(owner->version, "%4u.%4u", &has_major, &has_minor) >= 1 &&
           (has_major > major || (has_major == major && has_minor >= minor));
}

static bool is_jemalloc_5(const struct explanation *e, const struct unexplained_owner *owner)
{
    (void)e;
    return since(owner, 5, 0);
}

/* runtime/debug.SetMemoryLimit */
static bool is_go_1_19(const struct explanation *e, const struct unexplained_owner *owner)
{
    (void)e;
    return since(owner, 1, 19);
}

/* PYTHONMALLOC: 3.6; without the GIL there is no other allocator (PEP 703). */
static bool can_use_malloc(const struct explanation *e, const struct unexplained_owner *owner)
{
    return e->decoded && since(owner, 3, 6) && !strchr(owner->version, 't');
}

/* sys._debugmallocstats: 3.3; without the GIL it tells nothing. */
static bool has_arenas(const struct explanation *e, const struct unexplained_owner *owner)
{
    (void)e;
    return since(owner, 3, 3) && !strchr(owner->version, 't');
}

/* JEP 346. Java 8's machine calls itself 25.402-b06, Java 25's 25.0.1+8 (JEP 223). */
static bool is_jdk_12(const struct explanation *e, const struct unexplained_owner *owner)
{
    (void)e;
    return since(owner, 12, 0) && strchr(owner->version, '+');
}

static const struct {
    const char *owner;
    bool (*applies)(const struct explanation *,
                    const struct unexplained_owner *); /* NULL: always */
    struct advice advice;
} rows[] = {
    {"jemalloc",
     is_jemalloc_5,
     {"MALLOC_CONF=background_thread:true,dirty_decay_ms:1000",
      "in the environment at start has jemalloc give free pages back also while the program is "
      "idle (_RJEM_MALLOC_CONF where a Rust program brings it along); mallctl(\"stats.allocated\") "
      "in the program tells how much is in use"}},
    {"mimalloc",
     NULL,
     {NULL, "mi_collect(true) in the program has mimalloc give back what the calling thread has "
            "free; MIMALLOC_SHOW_STATS=1 in the environment at start has it tell at exit what it "
            "held"}},
    {"gperftools tcmalloc",
     NULL,
     {"TCMALLOC_RELEASE_RATE=10",
      "in the environment at start has tcmalloc give free pages back sooner; "
      "MallocExtension::instance()->ReleaseFreeMemory() in the program gives them back at once"}},
    {"tcmalloc",
     NULL,
     {NULL, "tcmalloc gives memory back in the background only where a thread of the program runs "
            "MallocExtension::ProcessBackgroundActions()"}},
    {"musl malloc",
     NULL,
     {NULL, "musl's malloc keeps little that is free: nearly all of this is in use, or in one "
            "group with blocks that are"}},
    {"AddressSanitizer",
     NULL,
     {"ASAN_OPTIONS=quarantine_size_mb=16",
      "in the environment at start lets AddressSanitizer hold back less of what was freed (256 MiB "
      "by default), and so find fewer uses of it"}},
    {"Go",
     is_go_1_19,
     {NULL, "GOMEMLIMIT with an amount (500MiB) in the environment at start has Go collect more as "
            "it comes near that; debug.FreeOSMemory() in the program gives back at once; "
            "GODEBUG=gctrace=1 tells how much is in use"}},
    {"Go",
     NULL,
     {NULL, "debug.FreeOSMemory() in the program has Go collect and give back at once; "
            "GODEBUG=gctrace=1 in the environment at start tells how much is in use"}},
    {"HotSpot",
     is_jdk_12,
     {"-XX:G1PeriodicGCInterval=60000",
      "for java at start has its G1 collector give memory back while the program is idle; jcmd "
      "with GC.heap_info tells how much of the heap is in use"}},
    {"HotSpot", NULL, {NULL, "jcmd with GC.heap_info tells how much of the heap is in use"}},
    {"V8",
     NULL,
     {NULL, "--max-old-space-size with MiB, for node at start, has V8 collect more as it comes "
            "near that; v8.getHeapSpaceStatistics() in the program tells how much of each space is "
            "in use"}},
    {"CPython",
     can_use_malloc,
     {"PYTHONMALLOC=malloc",
      "in the environment at start puts Python's small objects into malloc's heap, where residue "
      "tells what is free; slower, so measure yours. sys._debugmallocstats() tells how much of "
      "Python's own arenas is in use; one goes back only when all of it is free"}},
    {"CPython",
     has_arenas,
     {NULL, "sys._debugmallocstats() in the program tells how much of Python's own arenas is in "
            "use; one goes back only when all of it is free"}},
    {"Ruby",
     NULL,
     {NULL, "GC.stat in the program tells how many of the slots in Ruby's pages are in use; a page "
            "goes back only when all of its slots are free"}},
    {"PHP",
     NULL,
     {NULL, "gc_mem_caches() in the program gives back what PHP keeps cached; "
            "memory_get_usage() tells how much is in use"}},
    {".NET",
     NULL,
     {"DOTNET_GCConserveMemory=5",
      "in the environment at start has .NET (6 and later) keep its heap small, with more and "
      "longer "
      "collections; GC.GetGCMemoryInfo() in the program tells how much is in use"}},
    {"Mono",
     NULL,
     {NULL, "GC.GetTotalMemory(true) in the program has Mono collect, and tells how much is in "
            "use"}},
    {"Erlang", NULL, {NULL, "erlang:memory() in the program tells how much is in use"}},
    {"LuaJIT",
     NULL,
     {NULL, "collectgarbage() in the program collects what is unused; collectgarbage(\"count\") "
            "tells how many KiB are in use"}},
    {"Boehm GC",
     NULL,
     {NULL, "GC_gcollect_and_unmap() in the program collects, and gives back what that finds "
            "free"}},
};

const struct advice *owner_advice_for(const struct explanation *explanation,
                                      const struct unexplained_owner *owner)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].owner, owner->name) == 0 &&
            (!rows[i].applies || rows[i].applies(explanation, owner)))
            return &rows[i].advice;
    return NULL;
}

bool owner_is_large(const struct explanation *explanation, const struct unexplained_owner *owner)
{
    const struct unexplained_owners *owners = &explanation->unexplained_by;
    uint64_t bytes = 0;

    for (size_t i = 0; i < owners->count; i++)
        if (strcmp(owners->items[i].name, owner->name) == 0)
            bytes += owners->items[i].bytes;
    return bytes >= LEAST_BYTES && bytes >= explanation->rss.rss_bytes / SHARE;
}
