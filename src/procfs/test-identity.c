#include "procfs/identity.h"

#include <string.h>
#include <unistd.h>

#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

#define BOOT_ID "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e5f"

static const char stat_text[] =
    "7 (a) R 1 2) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 987654 999 11\n";

static struct process_identity identity_of(const char *boot_id, const char *stat)
{
    struct process_identity identity;
    struct tree tree;

    tree_make(&tree);
    if (boot_id)
        tree_file(&tree, "proc/sys/kernel/random/boot_id", boot_id);
    if (stat)
        tree_file(&tree, "proc/7/stat", stat);
    process_identity_read(&tree.procfs, 7, &identity);
    tree_remove(&tree);
    return identity;
}

static void the_time_is_found_behind_any_name(void **state)
{
    struct process_identity identity = identity_of(BOOT_ID "\n", stat_text);

    assert_true(identity.known);
    assert_string_equal(identity.boot_id, BOOT_ID);
    assert_int_equal(identity.start_ticks, 987654);
}

static void what_is_not_understood_is_not_known(void **state)
{
    static const struct {
        const char *boot_id, *stat;
    } cases[] = {{NULL, stat_text},
                 {BOOT_ID, stat_text},
                 {BOOT_ID "0\n", stat_text},
                 {"3f2c1a08\n", stat_text},
                 {"X" BOOT_ID "\n", stat_text},
                 {BOOT_ID "\n", NULL},
                 {BOOT_ID "\n", ""},
                 {BOOT_ID "\n", "7 (a S 1 7 7\n"},
                 {BOOT_ID "\n", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0\n"},
                 {BOOT_ID "\n", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12x 1\n"},
                 {BOOT_ID "\n", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 -1 1\n"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct process_identity identity = identity_of(cases[i].boot_id, cases[i].stat);

        assert_false(identity.known);
        assert_string_equal(identity.boot_id, "");
        assert_int_equal(identity.start_ticks, 0);
    }
}

static void processes_of_this_system_differ(void **state)
{
    struct process_identity own, again, other;
    struct victim victim;

    process_identity_read(real_root(), getpid(), &own);
    if (!own.known) {
        print_message("this system does not tell its boot_id\n");
        skip();
    }
    usleep(2 * 1000000 / (unsigned)sysconf(_SC_CLK_TCK)); /* to another tick */
    victim_start(&victim, NULL, NULL);
    process_identity_read(real_root(), getpid(), &again);
    process_identity_read(real_root(), victim.pid, &other);
    victim_kill(&victim);
    assert_memory_equal(&own, &again, sizeof own);
    assert_string_equal(own.boot_id, other.boot_id);
    assert_true(other.start_ticks > own.start_ticks);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_is_found_behind_any_name),
        cmocka_unit_test(what_is_not_understood_is_not_known),
        cmocka_unit_test(processes_of_this_system_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
