/* Who shares a memory, and who may: in a tree of made-up processes. */
#include "cure/sharers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "procfs/test-support.h"

static int answers[100]; /* what comparing with process i gives */

static int compare(pid_t a, pid_t b)
{
    assert_int_equal(a, 10);
    return answers[b];
}

static void add_process(struct tree *tree, int pid, const char *statm)
{
    char path[64];

    snprintf(path, sizeof path, "proc/%d/statm", pid);
    tree_file(tree, path, statm);
}

static int find(const char *others_statm, int answer, struct why *why)
{
    struct tree tree;
    int r;

    tree_make(&tree);
    add_process(&tree, 10, "1000 200 5 1 0 30 0\n");
    add_process(&tree, 11, "1000 200 5 1 0 30 0\n");
    add_process(&tree, 12, others_statm);
    answers[11] = 1;
    answers[12] = answer;
    r = cure_find_sharer(&tree.procfs, 10, compare, why);
    tree_remove(&tree);
    return r;
}

static void nobody_shares(void **state)
{
    struct why why;

    assert_int_equal(find("1000 200 5 1 0 30 0\n", 2, &why), 0);
    assert_int_equal(find("", -ESRCH, &why), 0);
}

static void who_shares_is_named(void **state)
{
    struct why why;

    assert_int_equal(find("7 7 7 7 7 7 7\n", 0, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "process 12 shares its memory"));
}

/* Where the kernel does not compare, one that is as large may share; one that is not does not. */
static void who_may_share_is_named(void **state)
{
    struct why why;

    assert_int_equal(find("1000 200 5 1 0 30 0\n", -EPERM, &why), OUTCOME_NOT_POSSIBLE);
    assert_non_null(strstr(why.text, "process 12 may share its memory"));
    assert_int_equal(find("1001 200 5 1 0 30 0\n", -EPERM, &why), 0);
    assert_int_equal(find("1000 201 5 1 0 30 0\n", -EPERM, &why), 0);
    assert_int_equal(find("0 0 0 0 0 0 0\n", -EPERM, &why), 0);
    assert_int_equal(find("1000 200 5 1 0 30 0\n", -ENOSYS, &why), OUTCOME_NOT_POSSIBLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_shares),
        cmocka_unit_test(who_shares_is_named),
        cmocka_unit_test(who_may_share_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
