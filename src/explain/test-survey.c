/* Surveys of a /proc made by hand. Nothing in it can be looked into; that is tried on real
 * processes. */
#include "explain/survey.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "procfs/test-support.h"

enum { SELF = 900 };

static struct tree tree;
static struct survey result;
static struct why why;

static int setup(void **state)
{
    tree_make(&tree);
    memset(&result, 0, sizeof result);
    return 0;
}

static int teardown(void **state)
{
    survey_free(&result);
    tree_remove(&tree);
    return 0;
}

static void file(pid_t pid, const char *name, const char *text)
{
    char path[64];

    snprintf(path, sizeof path, "proc/%d/%s", pid, name);
    tree_file(&tree, path, text);
}

static void process(pid_t pid, const char *comm, unsigned anon, unsigned files, unsigned shmem)
{
    char text[400];

    snprintf(text, sizeof text,
             "Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPPid:\t1\nUid:\t%d\t%d\t%d\t%d\n"
             "VmRSS:\t%u kB\nRssAnon:\t%u kB\nRssFile:\t%u kB\nRssShmem:\t%u kB\nVmSwap:\t3 kB\n"
             "Threads:\t1\n",
             comm, pid, geteuid(), geteuid(), geteuid(), geteuid(), anon + files + shmem, anon,
             files, shmem);
    file(pid, "status", text);
    file(pid, "maps", "1000-2000 r--p 00000000 00:00 0 \n");
    file(pid, "cgroup", "0::/user.slice\n");
}

/* What rss_status_is_exact looks at. */
static void self(bool exact)
{
    char target[16];

    snprintf(target, sizeof target, "%d", SELF);
    process(SELF, "residue", 10, 10, 0);
    file(SELF, "smaps_rollup", exact ? "Rss: 20 kB\n" : "Rss: 24 kB\n");
    tree_link(&tree, "proc/self", target);
}

static int look(struct survey_options options)
{
    return survey(&tree.procfs, &options, &result, &why);
}

static void look_well(struct survey_options options)
{
    int r = look(options);

    if (r)
        fail_msg("%d: %s", r, why.text);
}

static void those_with_memory(void **state)
{
    self(true);
    process(1, "init", 100, 5, 0);
    process(5, "small", 10, 20, 30);
    process(6, "large", 1000, 0, 1);
    file(6, "cgroup",
         "4:memory:/docker/2227daf62df6694645fee5df53c1f91271546a9560e8600a525690ae252b7f63\n0::/"
         "x\n");
    file(7, "status", "Name:\tkthread\nState:\tI\nTgid:\t7\nKthread:\t1\nThreads:\t1\n");
    file(8, "status", "Name:\tzombie\nState:\tZ\nTgid:\t8\nThreads:\t1\n");
    file(9, "status", "Name:\theadless\nState:\tZ\nTgid:\t9\nThreads:\t2\n");
    tree_directory(&tree, "proc/12"); /* has just ended */
    process(13, "ending", 7, 7, 7);
    unlinkat(tree.procfs.root_fd, "proc/13/maps", 0);
    look_well((struct survey_options){0});
    assert_int_equal(result.source, RSS_FROM_STATUS);
    assert_int_equal(result.processes.count, 3);
    assert_string_equal(result.processes.items[0].comm, "large");
    assert_string_equal(result.processes.items[0].container_runtime, "docker");
    assert_non_null(strstr(result.processes.items[0].cgroup, "/docker/2227"));
    assert_string_equal(result.processes.items[1].comm, "init");
    assert_null(result.processes.items[1].reason);
    assert_string_equal(result.processes.items[2].cgroup, "/user.slice");
    assert_int_equal(result.processes.items[2].amounts.rss_bytes, 60 * 1024);
    assert_int_equal(result.processes.items[2].amounts.shmem_bytes, 30 * 1024);
    assert_int_equal(result.sum.anon_bytes, 1110 * 1024);
    assert_int_equal(result.sum.swap_bytes, 9 * 1024);
    assert_int_equal(result.unread.count, 1);
    assert_string_equal(result.unread.items[0].who, "whose main thread has exited");
    assert_int_equal(result.explained, 0);
}

/* Where the counters are estimates, anonymous memory and RSS come from the page tables. */
static void where_counters_are_estimates(void **state)
{
    self(false);
    process(5, "some", 10, 20, 30);
    file(5, "smaps_rollup", "Rss: 100 kB\nAnonymous: 44 kB\n");
    process(6, "odd", 10, 20, 30);
    file(6, "smaps_rollup", "Rss: 20 kB\nAnonymous: 12 kB\n");
    process(7, "torn", 10, 20, 30);
    file(7, "smaps_rollup", "Rss: 8 kB\nAnonymous: 9 kB\n");
    look_well((struct survey_options){0});
    assert_int_equal(result.source, RSS_FROM_SMAPS_ROLLUP);
    assert_int_equal(result.processes.items[0].amounts.rss_bytes, 100 * 1024);
    assert_int_equal(result.processes.items[0].amounts.anon_bytes, 44 * 1024);
    assert_int_equal(result.processes.items[0].amounts.shmem_bytes, 30 * 1024);
    assert_int_equal(result.processes.items[0].amounts.file_bytes, 26 * 1024);
    assert_int_equal(result.processes.items[1].amounts.shmem_bytes, 8 * 1024);
    assert_int_equal(result.processes.items[1].amounts.file_bytes, 0);
    assert_int_equal(result.processes.items[2].amounts.anon_bytes, 8 * 1024);
    assert_int_equal(result.processes.items[2].amounts.shmem_bytes, 0);
}

static size_t told;

static void count_next(void *context, size_t number, size_t count, const struct survey_process *p)
{
    told++;
}

/* Process 1 only when named; others only where glibc's malloc serves them, which files tell. */
static void who_is_not_looked_into(void **state)
{
    self(true);
    process(1, "init", 100, 5, 0);
    process(5, "other", 10, 20, 30);
    process(6, "small", 1, 20, 30);
    look_well((struct survey_options){.top = 2, .next = count_next});
    assert_non_null(strstr(result.processes.items[0].reason, "residue why 1"));
    assert_string_equal(result.processes.items[1].reason, "it has no malloc of glibc's");
    assert_non_null(result.processes.items[2].reason);
    assert_int_equal(told, 0);
    assert_int_equal(result.explained, 0);
}

static int pairs(pid_t a, pid_t b)
{
    int x = a / 10, y = b / 10;

    return x < y ? 1 : x > y ? 2 : 0;
}

static void each_memory_once(void **state)
{
    self(true);
    process(10, "parent", 100, 5, 0);
    process(12, "vforked", 100, 5, 0);
    process(19, "cloned", 100, 5, 0);
    process(20, "other", 10, 5, 0);
    look_well((struct survey_options){.compare = pairs});
    assert_int_equal(result.processes.count, 2);
    assert_int_equal(result.processes.items[0].pid, 10);
    assert_int_equal(result.processes.items[0].sharer_count, 2);
    assert_int_equal(result.processes.items[0].sharers[0], 12);
    assert_int_equal(result.processes.items[0].sharers[1], 19);
    assert_int_equal(result.processes.items[1].sharer_count, 0);
    assert_int_equal(result.sum.anon_bytes, 110 * 1024);
}

static void of_a_cgroup(void **state)
{
    self(true);
    tree_file(&tree, "proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    tree_file(&tree, "cg/a/cgroup.procs", "5\n0\n");
    tree_file(&tree, "cg/a/memory.current", "100000\n");
    tree_file(&tree, "cg/a/memory.max", "150000\n");
    tree_file(&tree, "cg/a/memory.stat", "anon 60000\nfile 20000\nfile_mapped 5000\n");
    tree_file(&tree, "cg/a/b/cgroup.procs", "6\n77\n900\n");
    process(5, "one", 10, 20, 30);
    process(6, "two", 40, 20, 30);
    process(8, "elsewhere", 1000, 20, 30);
    look_well((struct survey_options){.cgroup = "/a"});
    assert_int_equal(result.processes.count, 2);
    assert_int_equal(result.processes.items[0].pid, 6);
    assert_true(result.of_cgroup && !result.charge_is_ancestors);
    assert_int_equal(result.usage.memory.room_bytes, 50000);
    assert_int_equal(result.unmapped_bytes, 15000);
    assert_int_equal(result.unnamed_bytes, 20000);
    assert_int_equal(survey_room_after(&result), 50000);
    assert_int_equal(result.unread.count, 1);
    assert_string_equal(result.unread.items[0].who, "of other PID namespaces");
    survey_free(&result);
    tree_file(&tree, "cg/a/b/c/cgroup.procs", "");
    look_well((struct survey_options){.cgroup = "/cg/a/b/c"}); /* nobody in it; a parent's charge */
    assert_int_equal(result.processes.count, 0);
    assert_true(result.charge_is_ancestors);
    assert_string_equal(result.usage.memory.charge_path, "/cg/a");
    survey_free(&result);
    assert_int_equal(look((struct survey_options){.cgroup = "/none"}), -ENOENT);
}

static int look_as_nobody(void *context)
{
    int r = look((struct survey_options){0});

    if (r != -EACCES)
        return 1;
    if (!strstr(why.text, "none of 3 processes may be looked at: 2 of other users: run as root"))
        return 2;
    file(77, "status", "Name:\tx\nState:\tS\nTgid:\t77\nVmRSS:\t4 kB\nThreads:\t1\n");
    file(77, "maps", "");
    r = look((struct survey_options){0});
    if (r)
        return 3;
    if (result.processes.count != 1 || result.unread.count != 2)
        return 4;
    return result.unread.items[0].count == 2 && result.unread.items[0].rss_bytes == 30 * 1024 ? 0
                                                                                              : 5;
}

static void refused(pid_t pid)
{
    char path[300];

    snprintf(path, sizeof path, "%s/proc/%d/maps", tree.root, pid);
    assert_int_equal(chmod(path, 0), 0);
}

/* As root, no file's mode refuses anything. */
static void those_that_may_not_be_looked_at(void **state)
{
    char path[300];

    if (!is_root())
        skip();
    self(true);
    process(5, "root's", 1, 2, 3);
    process(6, "root's", 7, 8, 9);
    refused(5);
    refused(6);
    file(9, "status",
         "Name:\tmine\nState:\tS\nTgid:\t9\nUid:\t65534\t65534\t65534\t65534\nVmRSS:\t4 "
         "kB\nThreads:\t1\n");
    file(9, "maps", "");
    refused(9);
    assert_int_equal(chmod(tree.root, 0755), 0);
    snprintf(path, sizeof path, "%s/proc", tree.root);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(as_nobody(look_as_nobody, NULL), 0);
}

int main(void)
{
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TREE_TEST(those_with_memory),
        TREE_TEST(where_counters_are_estimates),
        TREE_TEST(who_is_not_looked_into),
        TREE_TEST(each_memory_once),
        TREE_TEST(of_a_cgroup),
        TREE_TEST(those_that_may_not_be_looked_at),
    };

    return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
