#include <errno.h>
#include <string.h>

#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"
#include "procfs/thp.h"

#define DIRECTORY "sys/kernel/mm/transparent_hugepage/"

static void reads_what_is_chosen(void **state)
{
    struct tree tree;
    struct thp_settings thp;

    tree_make(&tree);
    assert_int_equal(thp_settings_read(&tree.procfs, &thp), 0);
    assert_string_equal(thp.enabled, "off");
    assert_false(thp.khugepaged_known);
    tree_file(&tree, DIRECTORY "enabled", "always [madvise] never\n");
    assert_int_equal(thp_settings_read(&tree.procfs, &thp), 0);
    assert_string_equal(thp.enabled, "madvise");
    assert_false(thp.khugepaged_known);
    tree_file(&tree, DIRECTORY "khugepaged/max_ptes_none", "64\n");
    tree_file(&tree, DIRECTORY "enabled", "[always] madvise never\n");
    assert_int_equal(thp_settings_read(&tree.procfs, &thp), 0);
    assert_string_equal(thp.enabled, "always");
    assert_true(thp.khugepaged_known && thp.max_ptes_none == 64);
    tree_remove(&tree);
}

static void refuses_what_it_does_not_understand(void **state)
{
    static const char *const wrong[] = {"",    "always madvise never\n",       "[]", "[always",
                                        "]a[", "[a word that is far too long]"};
    struct tree tree;
    struct thp_settings thp = {.max_ptes_none = 42};

    tree_make(&tree);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tree_file(&tree, DIRECTORY "enabled", wrong[i]);
        assert_int_equal(thp_settings_read(&tree.procfs, &thp), -EBADMSG);
    }
    assert_int_equal(thp.max_ptes_none, 42);
    tree_remove(&tree);
}

static void reads_this_system(void **state)
{
    static const char *const words[] = {"always", "madvise", "never", "off"};
    struct thp_settings thp;
    bool known = false;

    assert_int_equal(thp_settings_read(real_root(), &thp), 0);
    for (size_t i = 0; i < 4; i++)
        known |= strcmp(thp.enabled, words[i]) == 0;
    assert_true(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_chosen),
        cmocka_unit_test(refuses_what_it_does_not_understand),
        cmocka_unit_test(reads_this_system),
    };

    return cmocka_run_group_tests_name("thp", tests, NULL, NULL);
}
