#include "explain/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* All of these borrow what they hold. */
static struct snapshot look_at(pid_t pid, const char *boot_id, uint64_t start)
{
    return (struct snapshot){.pid = pid,
                             .boot_id = (char *)boot_id,
                             .start_ticks = {boot_id != NULL, start},
                             .taken_at_ns = {true, 1000 + start}};
}

static struct snapshot_arena arena_at(remote_addr address, bool main, uint64_t live_blocks)
{
    return (struct snapshot_arena){.address = address,
                                   .main = main,
                                   .figures = {[ARENA_LIVE_BLOCKS] = {true, live_blocks},
                                               [ARENA_LIVE_BYTES] = {true, live_blocks * 48}}};
}

static struct comparison compared(const struct snapshot *before, const struct snapshot *after)
{
    struct comparison comparison;

    assert_int_equal(compare_snapshots(before, after, &comparison), 0);
    return comparison;
}

static enum relation relation_of(const struct snapshot *before, const struct snapshot *after)
{
    struct comparison comparison = compared(before, after);
    enum relation relation = comparison.relation;

    assert_true(relation == RELATION_SAME || comparison.arenas.count == 0);
    comparison_free(&comparison);
    return relation;
}

static void processes_are_told_apart(void **state)
{
    struct snapshot a = look_at(7, "boot", 100), same = look_at(7, "boot", 100);
    struct snapshot later = look_at(7, "boot", 101), other_boot = look_at(7, "toob", 100);
    struct snapshot other_pid = look_at(8, "boot", 100), unknown = look_at(7, NULL, 0);

    assert_int_equal(relation_of(&a, &same), RELATION_SAME);
    assert_int_equal(relation_of(&a, &later), RELATION_OTHER);
    assert_int_equal(relation_of(&a, &other_boot), RELATION_OTHER);
    assert_int_equal(relation_of(&a, &other_pid), RELATION_OTHER);
    assert_int_equal(relation_of(&a, &unknown), RELATION_UNKNOWN);
    assert_int_equal(relation_of(&unknown, &a), RELATION_UNKNOWN);
}

static void another_program_has_another_main_arena(void **state)
{
    struct snapshot_arena before = arena_at(0x1000, true, 1), after = arena_at(0x2000, true, 1);
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 100);

    a.arenas = (struct snapshot_arenas){&before, 1, 1};
    assert_int_equal(relation_of(&a, &b), RELATION_SAME); /* it was not decoded */
    b.arenas = (struct snapshot_arenas){&after, 1, 1};
    assert_int_equal(relation_of(&a, &b), RELATION_EXECUTED);
    after.address = before.address;
    assert_int_equal(relation_of(&a, &b), RELATION_SAME);
}

static void arenas_are_matched_by_address(void **state)
{
    struct snapshot_arena before[] = {arena_at(0x9000, true, 1), arena_at(0x3000, false, 2),
                                      arena_at(0x5000, false, 3)};
    struct snapshot_arena after[] = {arena_at(0x9000, true, 4), arena_at(0x5000, false, 5),
                                     arena_at(0x1000, false, 6)};
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 100);
    struct comparison c;

    a.arenas = (struct snapshot_arenas){before, 3, 3};
    b.arenas = (struct snapshot_arenas){after, 3, 3};
    c = compared(&a, &b);
    assert_int_equal(c.arenas.count, 4);
    assert_null(c.arenas.items[0].before);
    assert_ptr_equal(c.arenas.items[0].after, &after[2]);
    assert_ptr_equal(c.arenas.items[1].before, &before[1]);
    assert_null(c.arenas.items[1].after);
    assert_ptr_equal(c.arenas.items[2].before, &before[2]);
    assert_ptr_equal(c.arenas.items[2].after, &after[1]);
    assert_ptr_equal(c.arenas.items[3].before, &before[0]);
    assert_ptr_equal(c.arenas.items[3].after, &after[0]);
    comparison_free(&c);
}

static void owners_are_matched_by_name_and_version(void **state)
{
    struct snapshot_owner before[] = {{(char *)"V8", NULL, 1},
                                      {(char *)"jemalloc", (char *)"5.2", 2}};
    struct snapshot_owner after[] = {{(char *)"jemalloc", (char *)"5.3", 3},
                                     {(char *)"V8", NULL, 4}};
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 100);
    struct comparison c;

    a.owners = (struct snapshot_owners){before, 2, 2};
    b.owners = (struct snapshot_owners){after, 2, 2};
    c = compared(&a, &b);
    assert_int_equal(c.owners.count, 3);
    assert_null(c.owners.items[0].before);
    assert_ptr_equal(c.owners.items[0].after, &after[0]);
    assert_ptr_equal(c.owners.items[1].before, &before[0]);
    assert_ptr_equal(c.owners.items[1].after, &after[1]);
    assert_ptr_equal(c.owners.items[2].before, &before[1]);
    assert_null(c.owners.items[2].after);
    comparison_free(&c);
}

static void size_classes_are_matched_by_size(void **state)
{
    struct snapshot_class before[] = {{48, 1, 48}, {64, 2, 128}},
                          after[] = {{64, 3, 192}, {80, 4, 320}};
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 100);
    struct comparison c, unknown;

    a.classes = (struct snapshot_classes){before, 2, 2};
    unknown = compared(&a, &b);
    assert_int_equal(unknown.classes.count, 0);
    b.classes = (struct snapshot_classes){after, 2, 2};
    c = compared(&a, &b);
    assert_int_equal(c.classes.count, 3);
    assert_ptr_equal(c.classes.items[0].before, &before[1]);
    assert_ptr_equal(c.classes.items[0].after, &after[0]);
    assert_null(c.classes.items[1].before);
    assert_ptr_equal(c.classes.items[2].before, &before[0]);
    assert_null(c.classes.items[2].after);
    comparison_free(&c);
    comparison_free(&unknown);
}

static void findings_come_and_go(void **state)
{
    struct snapshot_finding before[] = {{(char *)"stays", (char *)"", 1},
                                        {(char *)"goes", (char *)"", 2}};
    struct snapshot_finding after[] = {{(char *)"comes", (char *)"", 3},
                                       {(char *)"stays", (char *)"", 4}};
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 100);
    struct comparison c;

    a.findings = (struct snapshot_findings){before, 2, 2};
    b.findings = (struct snapshot_findings){after, 2, 2};
    c = compared(&a, &b);
    assert_int_equal(c.findings.count, 3);
    assert_null(c.findings.items[0].before);
    assert_ptr_equal(c.findings.items[1].before, &before[0]);
    assert_ptr_equal(c.findings.items[1].after, &after[1]);
    assert_ptr_equal(c.findings.items[2].before, &before[1]);
    assert_null(c.findings.items[2].after);
    comparison_free(&c);
}

static void time_goes_both_ways(void **state)
{
    struct snapshot a = look_at(7, "boot", 100), b = look_at(7, "boot", 350);
    struct comparison forth = compared(&a, &b), back = compared(&b, &a), unknown;

    assert_true(forth.interval_known && back.interval_known);
    assert_int_equal(forth.interval_ns, 250);
    assert_int_equal(back.interval_ns, -250);
    a.taken_at_ns = (struct amount){0};
    unknown = compared(&a, &b);
    assert_false(unknown.interval_known);
    comparison_free(&forth);
    comparison_free(&back);
    comparison_free(&unknown);
}

/* What is not known of one arena is not known of all of them. */
static void sums_are_known_as_far_as_their_parts(void **state)
{
    struct snapshot_arena arenas[] = {arena_at(0x1000, true, 5), arena_at(0x2000, false, 6)};
    struct snapshot s = look_at(7, "boot", 100);

    s.arenas = (struct snapshot_arenas){arenas, 2, 2};
    assert_false(snapshot_live_blocks(&s).known);
    s.figures[FIGURE_MMAPPED_COUNT] = (struct amount){true, 3};
    s.figures[FIGURE_MMAPPED_BYTES] = (struct amount){true, 1000};
    assert_true(snapshot_live_blocks(&s).known);
    assert_int_equal(snapshot_live_blocks(&s).value, 14);
    assert_int_equal(snapshot_live_bytes(&s).value, 1000 + 11 * 48);
    arenas[1].figures[ARENA_LIVE_BLOCKS] = (struct amount){0};
    assert_false(snapshot_live_blocks(&s).known);
    assert_true(snapshot_live_bytes(&s).known);
    arenas[1].figures[ARENA_LIVE_BYTES].value = INT64_MAX;
    assert_false(snapshot_live_bytes(&s).known);
    assert_int_equal(snapshot_live_bytes(&s).value, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_are_told_apart),
        cmocka_unit_test(another_program_has_another_main_arena),
        cmocka_unit_test(arenas_are_matched_by_address),
        cmocka_unit_test(owners_are_matched_by_name_and_version),
        cmocka_unit_test(size_classes_are_matched_by_size),
        cmocka_unit_test(findings_come_and_go),
        cmocka_unit_test(time_goes_both_ways),
        cmocka_unit_test(sums_are_known_as_far_as_their_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
