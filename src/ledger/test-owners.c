/* What real programs' unexplained memory is told to be, next to what they say themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/unexplained.h"
#include "runtime-victims.h"
#include "runtime/test-programs.h"

#ifndef VICTIM_MUSL
#define VICTIM_MUSL NULL
#endif
#ifndef VICTIM_GO
#define VICTIM_GO NULL
#endif

enum {
    MIB = 1 << 20,
    SMALL_BYTES = 8 * MIB
}; /* SMALL_BYTES: what the malloc victim holds at least */

struct told {
    struct heap *heap;
    struct unexplained_pieces pieces;
    struct unexplained_owners owners;
    uint64_t bytes; /* of the pieces */
};

static void open_heap(struct program *program, struct told *told)
{
    const struct heap_view view = {.memory = &program->memory.memory,
                                   .maps = &program->maps,
                                   .images = &program->images,
                                   .running = true};

    if (allocators[0]->open(&view, &told->heap, NULL) != 0)
        told->heap = NULL;
}

static void tell(struct program *program, struct told *told)
{
    struct ledger_view view = {.memory = &program->memory.memory,
                               .pages = &program->memory.pages,
                               .maps = &program->maps,
                               .images = &program->images};
    struct shmem_devices shmem;
    struct ledger ledger = {{0}};
    struct unexplained_view of = {.owners = &program->owners,
                                  .pieces = &told->pieces,
                                  .maps = &program->maps,
                                  .memory = &program->memory.memory};

    *told = (struct told){0};
    open_heap(program, told);
    assert_int_equal(shmem_devices_read(&program->procfs, program->pid, &shmem), 0);
    view.shmem = &shmem;
    view.regions = told->heap ? &told->heap->regions : NULL;
    of.heap = told->heap;
    assert_int_equal(ledger_add_mappings(&view, &ledger, &told->pieces, NULL), 0);
    assert_int_equal(unexplained_attribute(&of, &told->owners, NULL), 0);
    shmem_devices_free(&shmem);

    uint64_t named = 0;
    for (size_t i = 0; i < told->owners.count; i++)
        named += told->owners.items[i].bytes;
    told->bytes = ledger.bytes[ACCOUNT_UNEXPLAINED];
    assert_true(named <= told->bytes);
}

static void tell_end(struct program *program, struct told *told)
{
    if (told->heap)
        allocators[0]->close(told->heap);
    free(told->pieces.items);
    free(told->owners.items);
    program_end(program);
}

static uint64_t bytes_of(const struct told *told, const char *name, const char *evidence)
{
    for (size_t i = 0; i < told->owners.count; i++)
        if (strcmp(told->owners.items[i].name, name) == 0 &&
            strstr(told->owners.items[i].evidence, evidence))
            return told->owners.items[i].bytes;
    return 0;
}

/* The one owner of nearly all that is unexplained. */
static void check_all(const char *const *arguments, const char *preload, const char *name,
                      uint64_t least)
{
    struct program program;
    struct told told;

    program_start(&program, arguments, preload);
    tell(&program, &told);
    assert_int_equal(told.owners.count, 1);
    assert_string_equal(told.owners.items[0].version, program_owner(&program, name)->version);
    assert_in_range(bytes_of(&told, name, "nothing else"), least, told.bytes);
    assert_true(told.bytes - bytes_of(&told, name, "nothing else") < MIB / 2);
    tell_end(&program, &told);
}

static void test_preloaded(void **state)
{
    static const char *const malloc_victim[] = {VICTIM_MALLOC, NULL};
    struct program program;
    struct told told;

    (void)state;
    check_all(malloc_victim, need_library("libjemalloc.so.2"), "jemalloc", SMALL_BYTES);
    check_all(malloc_victim, need_library("libmimalloc.so.2.0"), "mimalloc", SMALL_BYTES);
    check_all(malloc_victim, need_library("libtcmalloc_minimal.so.4"), "gperftools tcmalloc",
              SMALL_BYTES);

    /* With its own libc's malloc there is nobody to name. */
    program_start(&program, malloc_victim, NULL);
    tell(&program, &told);
    assert_non_null(told.heap);
    assert_int_equal(told.owners.count, 0);
    tell_end(&program, &told);
}

static void test_musl(void **state)
{
    (void)state;
    need_program(VICTIM_MUSL, "musl-gcc");
    check_all((const char *[]){VICTIM_MUSL, NULL}, NULL, "musl malloc", SMALL_BYTES);
}

static void test_go(void **state)
{
    (void)state;
    need_program(VICTIM_GO, "Go");
    check_all((const char *[]){VICTIM_GO, NULL}, NULL, "Go", 32 * MIB);
}

static void test_luajit(void **state)
{
    (void)state;
    need_program("/usr/bin/luajit", "luajit");
    check_all((const char *[]){"/usr/bin/luajit", "-e",
                               "t = {} for i = 1, 100000 do t[i] = {i} end print(1) "
                               "io.stdout:flush() io.read()",
                               NULL},
              NULL, "LuaJIT", 4 * MIB);
}

#define PYTHON "/usr/bin/python3"
/* Tells how many bytes its arenas have, by CPython's own account, which goes to standard error. */
#define ARENAS                                                                                     \
    "import os, re, sys, tempfile\n"                                                               \
    "kept = [str(i) * 3 for i in range(300000)]\n"                                                 \
    "with tempfile.TemporaryFile() as f:\n"                                                        \
    "    was = os.dup(2); os.dup2(f.fileno(), 2); sys._debugmallocstats(); os.dup2(was, 2)\n"      \
    "    f.seek(0); text = f.read().decode()\n"                                                    \
    "count, size = re.search(r'(\\d+) arenas \\* (\\d+) bytes/arena', text).groups()\n"            \
    "print(int(count) * int(size), flush=True)\n"                                                  \
    "sys.stdin.read()\n"

/* Arenas are carved from their start on, so that all but the last are resident. */
static void check_arenas(const struct program *program, const struct told *told)
{
    uint64_t arenas = strtoull(program->line, NULL, 10);

    assert_true(arenas > 16 * MIB);
    assert_in_range(bytes_of(told, "CPython", "pools"), arenas - 2 * MIB, arenas);
}

static void test_cpython(void **state)
{
    struct program program;
    struct told told;

    (void)state;
    need_program(PYTHON, "python3");
    program_start(&program, (const char *[]){PYTHON, "-c", ARENAS, NULL}, NULL);
    tell(&program, &told);
    assert_non_null(told.heap);
    check_arenas(&program, &told);
    assert_true(told.bytes - bytes_of(&told, "CPython", "pools") < MIB);
    tell_end(&program, &told);
}

/* Two heaps side by side: pools are told from what must be the other's. */
static void test_cpython_on_jemalloc(void **state)
{
    const char *path = need_library("libjemalloc.so.2");
    struct program program;
    struct told told;

    (void)state;
    need_program(PYTHON, "python3");
    program_start(&program, (const char *[]){PYTHON, "-c", ARENAS, NULL}, path);
    tell(&program, &told);
    assert_null(told.heap);
    check_arenas(&program, &told);
    assert_true(bytes_of(&told, "jemalloc", "nothing else") > 2 * MIB);
    tell_end(&program, &told);
}

/* Ruby's own count of its pages, and how large they are. */
#define PAGES                                                                                      \
    "kept = (0...200000).map { |i| i.to_s * 5 }; GC.start;"                                        \
    "puts GC.stat(:heap_allocated_pages) * GC::INTERNAL_CONSTANTS[:HEAP_PAGE_SIZE];"               \
    "$stdout.flush; gets"

static void check_ruby(const char *preload)
{
    struct program program;
    struct told told;

    program_start(&program, (const char *[]){"/usr/bin/ruby", "-e", PAGES, NULL}, preload);
    tell(&program, &told);
    uint64_t pages = strtoull(program.line, NULL, 10), found = bytes_of(&told, "Ruby", "pages");
    assert_true(pages > 4 * MIB);
    assert_in_range(found, pages - pages / 10, pages + pages / 10);
    tell_end(&program, &told);
}

static void test_ruby(void **state)
{
    (void)state;
    need_program("/usr/bin/ruby", "ruby");
    check_ruby(NULL);
    check_ruby(need_library("libjemalloc.so.2"));
}

static void test_node(void **state)
{
    struct program program;
    struct told told;

    (void)state;
    need_program("/usr/bin/node", "node");
    program_start(&program,
                  (const char *[]){"/usr/bin/node", "-e",
                                   "kept = []; for (i = 0; i < 300000; i++) kept.push({i}); "
                                   "console.log(process.memoryUsage().heapTotal); "
                                   "process.stdin.resume()",
                                   NULL},
                  NULL);
    tell(&program, &told);
    assert_in_range(bytes_of(&told, "V8", "nothing else"), 8 * MIB, told.bytes);
    tell_end(&program, &told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preloaded), cmocka_unit_test(test_musl),
        cmocka_unit_test(test_go),        cmocka_unit_test(test_luajit),
        cmocka_unit_test(test_cpython),   cmocka_unit_test(test_cpython_on_jemalloc),
        cmocka_unit_test(test_ruby),      cmocka_unit_test(test_node),
    };

    return cmocka_run_group_tests_name("ledger-owners", tests, NULL, NULL);
}
