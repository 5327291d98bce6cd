#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs/procfs.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static int setup(void **state)
{
    static struct tree tree;

    tree_make(&tree);
    *state = &tree;
    return 0;
}

static int teardown(void **state)
{
    tree_remove(*state);
    return 0;
}

static void reads_whole_files(void **state)
{
    struct tree *tree = *state;
    size_t size = 100001, length;
    char *bytes = malloc(size), *text;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7);
    tree_bytes(tree, "big", bytes, size);
    tree_bytes(tree, "empty", "", 0);
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "%s", "big"), 0);
    assert_int_equal(length, size);
    assert_memory_equal(text, bytes, size);
    assert_int_equal(text[length], 0);
    free(text);
    free(bytes);
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "empty"), 0);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    free(text);
}

static void errors_leave_results_alone(void **state)
{
    struct tree *tree = *state;
    char long_name[PATH_MAX + 10], *text = (char *)1;
    size_t length = 42;

    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "none"), -ENOENT);
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "%s", long_name), -ENAMETOOLONG);
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "%s", ""), -EISDIR);
    assert_ptr_equal(text, (char *)1);
    assert_int_equal(length, 42);
    assert_int_equal(procfs_open_file(&tree->procfs, "none"), -ENOENT);
    assert_int_equal(procfs_read_link(&tree->procfs, &text, "none"), -ENOENT);
}

static void absolute_paths_stay_below_the_root(void **state)
{
    struct tree *tree = *state;
    char *text;
    size_t length;

    tree_file(tree, "etc/passwd", "fake");
    assert_int_equal(procfs_read(&tree->procfs, &text, &length, "//etc/passwd"), 0);
    assert_string_equal(text, "fake");
    free(text);
}

static int number_in(struct tree *tree, const char *text, unsigned long *ret)
{
    tree_file(tree, "number", text);
    return procfs_read_u64(&tree->procfs, ret, "number");
}

static void reads_numbers(void **state)
{
    static const char *const wrong[] = {"",
                                        "\n",
                                        "-1\n",
                                        "1 2\n",
                                        "1\n2\n",
                                        "x\n",
                                        "maxi",
                                        "0x1f",
                                        " 1",
                                        "1 ",
                                        "18446744073709551616"};
    struct tree *tree = *state;
    unsigned long value;

    assert_int_equal(number_in(tree, "0\n", &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(number_in(tree, "4096", &value), 0);
    assert_int_equal(value, 4096);
    assert_int_equal(number_in(tree, "18446744073709551615\n", &value), 0);
    assert_true(value == UINT64_MAX);
    value = 0;
    assert_int_equal(number_in(tree, "max\n", &value), 0);
    assert_true(value == UINT64_MAX);
    value = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(number_in(tree, wrong[i], &value), -EINVAL);
    assert_int_equal(value, 7);
}

static void lists_in_order_and_skips_names(void **state)
{
    static const char *const names[] = {"proc/10", "proc/9",  "proc/123456",      "proc/self",
                                        "proc/0",  "proc/1x", "proc/99999999999", "proc/sys"};
    struct tree *tree = *state;
    pid_t *pids;
    size_t count;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tree_directory(tree, names[i]);
    assert_int_equal(procfs_list_processes(&tree->procfs, &pids, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(pids[0], 9);
    assert_int_equal(pids[1], 10);
    assert_int_equal(pids[2], 123456);
    free(pids);
    tree_directory(tree, "proc/9/task");
    assert_int_equal(procfs_list_tasks(&tree->procfs, 9, &pids, &count), -ESRCH);
    assert_int_equal(procfs_list_tasks(&tree->procfs, 11, &pids, &count), -ENOENT);
}

static void *wait_for_end(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

static void lists_real_threads(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[3];
    pid_t *tids;
    size_t count;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &lock), 0);
    assert_int_equal(procfs_list_tasks(real_root(), getpid(), &tids, &count), 0);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(count >= 4);
    assert_int_equal(tids[0], getpid());
    free(tids);
}

static void lists_real_processes(void **state)
{
    pid_t *pids, zombie = zombie_make();
    size_t count;
    bool found = false;

    assert_int_equal(procfs_list_processes(real_root(), &pids, &count), 0);
    waitpid(zombie, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        found |= pids[i] == zombie;
        assert_true(i == 0 || pids[i - 1] < pids[i]);
    }
    assert_true(found);
    free(pids);
}

static void reads_links(void **state)
{
    struct tree *tree = *state;
    char *target, own[PATH_MAX + 1];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);

    tree_link(tree, "proc/7/exe", "/bin/x y (deleted)");
    assert_int_equal(procfs_read_link(&tree->procfs, &target, "proc/%d/exe", 7), 0);
    assert_string_equal(target, "/bin/x y (deleted)");
    free(target);
    assert_true(length > 0);
    own[length] = '\0';
    assert_int_equal(procfs_read_link(real_root(), &target, "proc/self/exe"), 0);
    assert_string_equal(target, own);
    free(target);
}

static void tells_a_root_that_is_not_there(void **state)
{
    struct procfs procfs = {-1};
    struct why why;

    assert_int_equal(procfs_open(&procfs, "/nowhere/at/all", &why), -ENOENT);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
    assert_int_equal(procfs.root_fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_whole_files, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_leave_results_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(absolute_paths_stay_below_the_root, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_in_order_and_skips_names, setup, teardown),
        cmocka_unit_test(lists_real_threads),
        cmocka_unit_test(lists_real_processes),
        cmocka_unit_test_setup_teardown(reads_links, setup, teardown),
        cmocka_unit_test(tells_a_root_that_is_not_there),
    };

    return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
