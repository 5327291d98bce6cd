/* Naming what is unexplained: rules on made-up mappings, content in a fake memory, and programs
 * nobody here wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/vector.h"
#include "ledger/unexplained.h"
#include "mem/fake.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static const struct owner jemalloc = {
    .name = "jemalloc", .version = "5.3.0", .private_anonymous = true};
static const struct owner v8 = {.name = "V8", .version = "11.3", .private_anonymous = true};
static const struct owner cpython = {
    .name = "CPython", .version = "3.11.2", .private_anonymous = true};
static const struct owner wrapper = {.name = "wrapper", .private_anonymous = false};

/* Five mappings of 1 MiB and one of 64 KiB less a page. */
static const char mappings[] = "10000000-10100000 rw-p 00000000 00:00 0 \n"
                               "20000000-20001000 ---p 00000000 00:00 0 \n"
                               "20001000-20101000 rw-p 00000000 00:00 0 \n"
                               "30000000-30100000 rw-p 00000000 00:00 0 [anon:mimalloc]\n"
                               "40000000-40100000 rw-p 00000000 fe:00 77 /usr/lib/data\n"
                               "50000000-5000f000 rw-p 00000000 00:00 0 \n"
                               "60000000-60100000 rw-p 00000000 00:00 0 [anon: glibc: malloc]\n"
                               "7ffffff00000-800000000000 rw-p 00000000 00:00 0 [stack]\n";

struct fixture {
    struct owner items[4];
    struct owners owners;
    struct maps maps;
    struct unexplained_pieces pieces;
    struct unexplained_view view;
    struct unexplained_owners result;
};

static void setup(struct fixture *f, const char *text)
{
    *f = (struct fixture){0};
    assert_int_equal(maps_parse(text, strlen(text), &f->maps, NULL), 0);
    f->owners.items = f->items;
    f->view = (struct unexplained_view){
        .owners = &f->owners, .pieces = &f->pieces, .maps = &f->maps, .stacks_known = true};
}

static void teardown(struct fixture *f)
{
    free(f->result.items);
    free(f->pieces.items);
    maps_free(&f->maps);
}

static void add_owner(struct fixture *f, struct owner owner)
{
    assert_true(f->owners.count < sizeof f->items / sizeof *f->items);
    f->items[f->owners.count++] = owner;
}

static void add_piece(struct fixture *f, remote_addr start, uint64_t length, uint64_t bytes)
{
    struct unexplained_piece piece = {.range = {start, start + length}, .resident_bytes = bytes};

    assert_int_equal(vector_push(&f->pieces, piece), 0);
}

static uint64_t sum_of_pieces(const struct unexplained_pieces *pieces)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < pieces->count; i++)
        sum += pieces->items[i].resident_bytes;
    return sum;
}

static uint64_t sum_of_result(const struct unexplained_owners *owners)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < owners->count; i++)
        sum += owners->items[i].bytes;
    return sum;
}

static void attribute(struct fixture *f)
{
    free(f->result.items);
    f->result = (struct unexplained_owners){0};
    assert_int_equal(unexplained_attribute(&f->view, &f->result, NULL), 0);
    assert_true(sum_of_result(&f->result) <= sum_of_pieces(&f->pieces));
}

static const struct unexplained_owner *find(const struct unexplained_owners *owners,
                                            const char *name, const char *evidence)
{
    for (size_t i = 0; i < owners->count; i++)
        if (strcmp(owners->items[i].name, name) == 0 && strstr(owners->items[i].evidence, evidence))
            return &owners->items[i];
    return NULL;
}

static void check(const struct fixture *f, const char *name, const char *version, uint64_t bytes,
                  const char *evidence)
{
    const struct unexplained_owner *owner = find(&f->result, name, evidence);

    if (!owner)
        fail_msg("nothing is %s's %s", name, evidence);
    assert_string_equal(owner->version, version);
    assert_int_equal(owner->bytes, bytes);
}

static void test_nobody(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_piece(&f, 0x10000000, MIB, MIB);
    attribute(&f);
    assert_int_equal(f.result.count, 0);
    add_owner(&f, wrapper);
    attribute(&f);
    assert_int_equal(f.result.count, 0);
    teardown(&f);
}

static void test_only_one(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_owner(&f, wrapper);
    add_owner(&f, jemalloc);
    /* Scattered pieces count by their mapping: 64 KiB in it at least. */
    for (unsigned i = 0; i < 16; i++)
        add_piece(&f, 0x10000000 + i * 8 * KIB, 4 * KIB, 4 * KIB);
    add_piece(&f, 0x20001000, 15 * 4 * KIB, 15 * 4 * KIB);
    add_piece(&f, 0x40000000, MIB, MIB); /* of a file: not what a ledger lists, and nobody's */
    add_piece(&f, 0x50000000, 60 * KIB, 60 * KIB);
    attribute(&f);
    assert_int_equal(f.result.count, 1);
    check(&f, "jemalloc", "5.3.0", 64 * KIB, "nothing else");
    assert_null(strstr(f.result.items[0].evidence, "constants"));

    /* That it is only there by its constants is told. */
    f.items[1].linked_in = true;
    attribute(&f);
    check(&f, "jemalloc", "5.3.0", 64 * KIB, "its constants are in the program");
    teardown(&f);
}

static void test_several(void **state)
{
    struct owner other = jemalloc;
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_owner(&f, v8);
    add_owner(&f, jemalloc);
    add_piece(&f, 0x10000000, MIB, MIB);
    attribute(&f);
    assert_int_equal(f.result.count, 1);
    check(&f, "V8 or jemalloc", "", MIB, "nothing but these");

    /* Two of one kind are one name without a version. */
    f.owners.count = 0;
    snprintf(other.version, sizeof other.version, "5.2.1");
    add_owner(&f, jemalloc);
    add_owner(&f, other);
    attribute(&f);
    check(&f, "jemalloc", "", MIB, "nothing else");

    /* More than there is room for is not named at all. */
    f.items[0].name = "a name that is as long as names of allocators never are";
    attribute(&f);
    assert_int_equal(f.result.count, 0);
    teardown(&f);
}

static void test_glibc(void **state)
{
    struct heap heap = {.version = "2.36"};
    struct heap_region regions[] = {{.range = {0x10000000, 0x10080000}},
                                    {.range = {0x10080000, 0x10100000}, .refused = true}};
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_piece(&f, 0x10080000, 512 * KIB, 512 * KIB);
    add_piece(&f, 0x20001000, MIB, MIB);
    f.owners.glibc = GLIBC_USED;
    attribute(&f);
    check(&f, "glibc", "", MIB + 512 * KIB, "nothing else");
    f.owners.glibc = GLIBC_UNUSED;
    attribute(&f);
    assert_int_equal(f.result.count, 0);
    f.owners.glibc = GLIBC_MAYBE;
    add_owner(&f, v8);
    attribute(&f);
    check(&f, "V8 or glibc", "", MIB + 512 * KIB, "nothing but these");

    /* Decoded: what it could not walk is its own, and nothing else is. */
    f.view.heap = &heap;
    heap.regions.items = regions;
    heap.regions.count = 2;
    attribute(&f);
    assert_int_equal(f.result.count, 2);
    check(&f, "glibc", "2.36", 512 * KIB, "could not be walked");
    check(&f, "V8", "11.3", MIB, "nothing else");
    teardown(&f);
}

static void test_names(void **state)
{
    struct owner mimalloc = {.name = "mimalloc", .version = "2.2.4", .private_anonymous = true};
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_owner(&f, v8);
    add_owner(&f, mimalloc);
    add_piece(&f, 0x30000000, 8 * KIB, 4 * KIB); /* however little */
    add_piece(&f, 0x60000000, 8 * KIB, 8 * KIB);
    attribute(&f);
    assert_int_equal(f.result.count, 2);
    check(&f, "mimalloc", "2.2.4", 4 * KIB, "mapping's name");
    check(&f, "glibc", "", 8 * KIB, "mapping's name");
    teardown(&f);
}

static void test_stacks(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, mappings);
    add_owner(&f, jemalloc);
    add_piece(&f, 0x10000000, 128 * KIB, 128 * KIB);
    add_piece(&f, 0x20001000, MIB, MIB); /* has a guard below */
    add_piece(&f, 0x7ffffff00000, MIB, MIB);
    f.view.stacks_known = false;
    attribute(&f);
    check(&f, "jemalloc", "5.3.0", 128 * KIB, "nothing else");
    teardown(&f);
}

enum { ARENA = 0x10000000, POOL = 16 * KIB };

/* A pool's header as obmalloc fills it: of eight blocks that were handed out, seven are in use. */
static void make_pool(uint8_t *pool, remote_addr address, uint32_t size_class)
{
    uint32_t words[] = {7, 0}, size = (size_class + 1) * 16;
    uint64_t free_block = address + 48 + (uint64_t)3 * size;
    uint32_t tail[] = {0, size_class, 48 + 7 * size, POOL - size};

    memcpy(pool, words, sizeof words);
    memcpy(pool + 8, &free_block, sizeof free_block);
    memcpy(pool + 32, tail, sizeof tail);
}

struct arena {
    uint8_t *bytes;
    uint8_t flags[256];
    struct fake_extent extent;
    struct fake_memory memory;
};

static void arena_setup(struct arena *arena)
{
    arena->bytes = calloc(1, MIB);
    assert_non_null(arena->bytes);
    memset(arena->flags, PAGE_PRESENT | PAGE_EXCLUSIVE, sizeof arena->flags);
    for (uint32_t at = 0; at < MIB; at += POOL)
        make_pool(arena->bytes + at, ARENA + at, at / POOL % 32);
    arena->extent = (struct fake_extent){
        .start = ARENA, .pages = 256, .bytes = arena->bytes, .flags = arena->flags};
    fake_memory_init(&arena->memory, &arena->extent, 1);
}

static void arena_teardown(struct arena *arena)
{
    assert_int_equal(arena->memory.reads_of_absent, 0);
    free(arena->bytes);
}

static void test_pools(void **state)
{
    struct arena arena;
    struct fixture f;

    (void)state;
    arena_setup(&arena);
    setup(&f, mappings);
    add_owner(&f, cpython);
    add_owner(&f, jemalloc);
    add_piece(&f, ARENA, MIB, MIB);
    f.view.memory = &arena.memory.memory;
    attribute(&f);
    assert_int_equal(f.result.count, 1);
    check(&f, "CPython", "3.11.2", MIB, "pools");

    /* Less is unexplained than is there: zero pages. */
    f.pieces.items[0].resident_bytes = 300 * KIB;
    attribute(&f);
    check(&f, "CPython", "3.11.2", 300 * KIB, "pools");
    f.pieces.items[0].resident_bytes = MIB;

    /* Pools that are not present tell nothing; those of the same unit do. */
    for (unsigned unit = 0; unit < 4; unit++)
        arena.flags[unit * 64] = 0;
    attribute(&f);
    check(&f, "CPython", "3.11.2", MIB, "pools");

    /* And where none of a unit is present, those of its neighbour do. */
    memset(arena.flags + 64, 0, 64);
    attribute(&f);
    check(&f, "CPython", "3.11.2", MIB, "pools");

    /* Half of it is something else, which cannot be CPython's then. */
    memset(arena.bytes + 512 * KIB, 'x', 512 * KIB);
    memset(arena.flags, PAGE_PRESENT, sizeof arena.flags);
    attribute(&f);
    assert_int_equal(f.result.count, 2);
    check(&f, "CPython", "3.11.2", 512 * KIB, "pools");
    check(&f, "jemalloc", "5.3.0", 512 * KIB, "nothing else");

    /* Without jemalloc it is nobody's. */
    f.owners.count = 1;
    attribute(&f);
    assert_int_equal(f.result.count, 1);
    teardown(&f);
    arena_teardown(&arena);
}

/* Each header field must count: one that is wrong makes it no pool, of small blocks or of large
 * ones. */
static void check_no_pools(uint32_t size_class, size_t offset, uint32_t value)
{
    struct arena arena;
    struct fixture f;

    arena_setup(&arena);
    setup(&f, mappings);
    add_owner(&f, cpython);
    add_piece(&f, ARENA, MIB, MIB);
    f.view.memory = &arena.memory.memory;
    for (uint32_t at = 0; at < MIB; at += POOL) {
        make_pool(arena.bytes + at, ARENA + at, size_class);
        memcpy(arena.bytes + at + offset, &value, sizeof value);
    }
    attribute(&f);
    if (f.result.count != 0)
        fail_msg("%u at %zu makes a pool of class %u", value, offset, size_class);
    teardown(&f);
    arena_teardown(&arena);
}

static void test_no_pools(void **state)
{
    (void)state;
    check_no_pools(2, 0, 400);        /* more blocks in use than there are */
    check_no_pools(2, 8, 7);          /* the free block is nowhere */
    check_no_pools(2, 36, 32);        /* a class that does not exist */
    check_no_pools(2, 36, 3);         /* not the one that the last block's place is of */
    check_no_pools(2, 44, POOL);      /* the last block ends behind the pool */
    check_no_pools(0, 40, 0);         /* the next block is in the header, */
    check_no_pools(2, 40, 48 + 47);   /* amid another, */
    check_no_pools(0, 40, POOL + 16); /* behind the pool */
    check_no_pools(31, 40, 48 + 32 * 512);
}

/* A free block that no block can be at: pools differ in it, so that not one value makes all wrong.
 */
static void test_crooked_free_block(void **state)
{
    struct arena arena;
    struct fixture f;

    (void)state;
    arena_setup(&arena);
    setup(&f, mappings);
    add_owner(&f, cpython);
    add_piece(&f, ARENA, MIB, MIB);
    f.view.memory = &arena.memory.memory;
    for (uint32_t at = 0; at < MIB; at += POOL)
        arena.bytes[at + 8] |= 1;
    attribute(&f);
    assert_int_equal(f.result.count, 0);
    teardown(&f);
    arena_teardown(&arena);
}

/* Nothing can be read: the pieces are told by exclusion only. */
static void test_unreadable(void **state)
{
    struct arena arena;
    struct fixture f;

    (void)state;
    arena_setup(&arena);
    memset(arena.flags, PAGE_SWAPPED, sizeof arena.flags);
    setup(&f, mappings);
    add_owner(&f, cpython);
    add_piece(&f, ARENA, MIB, MIB);
    f.view.memory = &arena.memory.memory;
    attribute(&f);
    check(&f, "CPython", "3.11.2", MIB, "nothing else");
    teardown(&f);
    arena_teardown(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_only_one),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_glibc),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_no_pools),
        cmocka_unit_test(test_crooked_free_block),
        cmocka_unit_test(test_unreadable),
    };

    return cmocka_run_group_tests_name("ledger-unexplained", tests, NULL, NULL);
}
