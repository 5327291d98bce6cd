#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "procfs/environ.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static struct tree tree;
static struct why why;

static int setup(void **state)
{
    tree_make(&tree);
    tree_file(&tree, "proc/5/status", "State:\tS\nTgid:\t5\n");
    return 0;
}

static int teardown(void **state)
{
    tree_remove(&tree);
    return 0;
}

static bool is_malloc(const char *name)
{
    return strncmp(name, "MALLOC_", 7) == 0;
}

static int range_in(const char *comm, const char *tail, struct range *ret)
{
    char text[600];
    int length = snprintf(text, sizeof text, "5 (%s) S 1", comm);

    for (int field = 5; field < 50; field++)
        length += snprintf(text + length, sizeof text - (size_t)length, " %d", -field);
    snprintf(text + length, sizeof text - (size_t)length, "%s", tail);
    tree_file(&tree, "proc/5/stat", text);
    return environ_range(&tree.procfs, 5, ret, &why);
}

static void finds_the_range(void **state)
{
    struct range range;

    assert_int_equal(range_in("sh", " 140000000000000 140000000004000 0\n", &range), 0);
    assert_true(range.start == 140000000000000 && range.end == 140000000004000);
    assert_int_equal(range_in("a) S 1 (b", " 4096 4096 0\n", &range), 0);
    assert_true(range.start == 4096 && range.end == 4096);
    assert_int_equal(range_in("sh", " 4096 99999999999 0\n", &range), 0);
    assert_int_equal(range_length(range), ENVIRON_BYTES);
}

static void refuses_what_it_does_not_understand(void **state)
{
    struct range range;

    assert_int_equal(range_in("sh", " 0 0 0\n", &range), -EACCES); /* we may not be told */
    assert_int_equal(range_in("sh", "", &range), -EBADMSG);
    assert_int_equal(range_in("sh", " 8192", &range), -EBADMSG);
    assert_int_equal(range_in("sh", " 8192 4096 0\n", &range), -EBADMSG);
    assert_int_equal(range_in("sh", " x y\n", &range), -EBADMSG);
    tree_file(&tree, "proc/5/stat", "5 sh S 1");
    assert_int_equal(environ_range(&tree.procfs, 5, &range, &why), -EBADMSG);
}

static void takes_what_is_wanted(void **state)
{
    static const char text[] = "PATH=/bin\0MALLOC_ARENA_MAX=2\0SECRET=MALLOC_X=1\0\0=\0MALLOC_\0"
                               "MALLOC_EMPTY=\0MALLOC_A=\x1b=\0MALLOC_CUT=12";
    struct environ_variables found = {0};

    assert_int_equal(environ_take(text, sizeof text - 1, is_malloc, &found), 0);
    assert_int_equal(found.count, 4);
    assert_string_equal(found.items[0].name, "MALLOC_ARENA_MAX");
    assert_string_equal(found.items[0].value, "2");
    assert_string_equal(found.items[1].name, "MALLOC_EMPTY");
    assert_string_equal(found.items[1].value, "");
    assert_string_equal(found.items[2].value, "\x1b=");
    assert_string_equal(found.items[3].value, "12");
    environ_free(&found);
}

static void is_bounded(void **state)
{
    static char text[200000];
    struct environ_variables found = {0};
    size_t length = 0;

    for (int i = 0; i < 100; i++)
        length += (size_t)sprintf(text + length, "MALLOC_%d=%d", i, i) + 1;
    memset(text + length, 'M', 1000);
    assert_int_equal(environ_take(text, length + 1000, is_malloc, &found), 0);
    assert_int_equal(found.count, ENVIRON_VARIABLES);
    environ_free(&found);
    memset(text, 'x', sizeof text);
    memcpy(text, "MALLOC_A=", 9);
    assert_int_equal(environ_take(text, sizeof text, is_malloc, &found), 0);
    assert_int_equal(strlen(found.items[0].value), ENVIRON_VALUE);
    environ_free(&found);
}

static void tells_raised_privileges(void **state)
{
    uint64_t auxv[] = {AT_PAGESZ, 4096, AT_SECURE, 1, AT_NULL, 0};
    bool secure = false;

    tree_bytes(&tree, "proc/5/auxv", auxv, sizeof auxv);
    assert_int_equal(process_is_secure(&tree.procfs, 5, &secure), 0);
    assert_true(secure);
    auxv[3] = 0;
    tree_bytes(&tree, "proc/5/auxv", auxv, sizeof auxv);
    assert_int_equal(process_is_secure(&tree.procfs, 5, &secure), 0);
    assert_false(secure);
    tree_bytes(&tree, "proc/5/auxv", auxv, 20);
    assert_int_equal(process_is_secure(&tree.procfs, 5, &secure), -EBADMSG);
}

static void finds_its_own(void **state)
{
    struct range range;
    bool secure = true;

    assert_int_equal(environ_range(real_root(), getpid(), &range, &why), 0);
    assert_true(range_length(range) > 0);
    assert_memory_equal((const void *)range.start, environ[0], strlen(environ[0]));
    assert_int_equal(process_is_secure(real_root(), getpid(), &secure), 0);
    assert_false(secure);
}

#define tree_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tree_test(finds_the_range),
        tree_test(refuses_what_it_does_not_understand),
        cmocka_unit_test(takes_what_is_wanted),
        cmocka_unit_test(is_bounded),
        tree_test(tells_raised_privileges),
        cmocka_unit_test(finds_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
