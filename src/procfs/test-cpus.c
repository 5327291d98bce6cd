#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "procfs/cpus.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static struct tree tree;
static struct cpus cpus;

static int setup(void **state)
{
    tree_make(&tree);
    tree_file(&tree, "sys/devices/system/cpu/online", "0-63\n");
    tree_file(&tree, "proc/5/status", "State:\tS\nTgid:\t5\nCpus_allowed_list:\t0-63\n");
    return 0;
}

static int teardown(void **state)
{
    tree_remove(&tree);
    return 0;
}

static void read_it(void)
{
    memset(&cpus, 0xff, sizeof cpus);
    assert_int_equal(cpus_read(&tree.procfs, 5, &cpus), 0);
}

static void in_v2(const char *membership)
{
    tree_file(&tree, "proc/5/cgroup", membership);
    tree_file(&tree, "proc/self/mountinfo",
              "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory\n");
}

static void in_v1(const char *membership)
{
    tree_file(&tree, "proc/5/cgroup", membership);
    tree_file(&tree, "proc/self/mountinfo",
              "32 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
}

static void counts_lists(void **state)
{
    static const struct {
        const char *list;
        unsigned count;
    } lists[] = {{"0\n", 1},
                 {"0-3\n", 4},
                 {"0-3,8,10-11\n", 7},
                 {"63\n", 1},
                 {"\n", 0},
                 {"", 0},
                 {"3-0\n", 0},
                 {"0-99999999\n", 0},
                 {"0-3,\n", 0},
                 {"0-\n", 0},
                 {"a\n", 0},
                 {"0 1\n", 0},
                 {"0-65534\n", 65535},
                 {"18446744073709551615\n", 1}};
    char status[200];

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        snprintf(status, sizeof status, "Tgid:\t5\nCpus_allowed_list:\t%s", lists[i].list);
        tree_file(&tree, "proc/5/status", status);
        tree_file(&tree, "sys/devices/system/cpu/online", lists[i].list);
        read_it();
        assert_int_equal(cpus.allowed, lists[i].count);
        assert_int_equal(cpus.online, lists[i].count);
    }
}

static void the_lowest_quota_of_v2_counts(void **state)
{
    in_v2("0::/a/b\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    read_it();
    assert_int_equal(cpus.period_us, 0);
    assert_int_equal(cpus_usable_hundredths(&cpus), 6400);
    tree_file(&tree, "sys/fs/cgroup/a/cpu.max",
              "150000 100000\n"); /* a pod's, above the container's */
    read_it();
    assert_int_equal(cpus.quota_us, 150000);
    assert_int_equal(cpus_usable_hundredths(&cpus), 150);
    tree_file(&tree, "sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    read_it();
    assert_int_equal(cpus_usable_hundredths(&cpus), 150);
    tree_file(&tree, "sys/fs/cgroup/a/b/cpu.max", "10000 20000\n");
    read_it();
    assert_int_equal(cpus_usable_hundredths(&cpus), 50);
}

static void the_lowest_quota_of_v1_counts(void **state)
{
    in_v1("5:memory:/m\n3:cpu,cpuacct:/a/b\n0::/elsewhere\n");
    tree_file(&tree, "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    tree_file(&tree, "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    read_it();
    assert_int_equal(cpus.period_us, 0);
    tree_file(&tree, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    tree_file(&tree, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    read_it();
    assert_int_equal(cpus_usable_hundredths(&cpus), 250);
}

static void affinity_can_be_less_than_the_quota(void **state)
{
    in_v2("0::/a\n");
    tree_file(&tree, "sys/fs/cgroup/a/cpu.max", "800000 100000\n");
    tree_file(&tree, "proc/5/status", "Tgid:\t5\nCpus_allowed_list:\t2,7\n");
    read_it();
    assert_int_equal(cpus.allowed, 2);
    assert_int_equal(cpus_usable_hundredths(&cpus), 200);
}

static void nonsense_is_no_limit(void **state)
{
    static const char *const wrong[] = {"",
                                        "x\n",
                                        "0 100000\n",
                                        "100000 0\n",
                                        "100000\n",
                                        "18446744073709551615 100000\n",
                                        "1 18446744073709551615\n"};

    in_v2("0::/a\n");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tree_file(&tree, "sys/fs/cgroup/a/cpu.max", wrong[i]);
        read_it();
        assert_int_equal(cpus.period_us, 0);
    }
}

static void what_is_not_there_is_not_known(void **state)
{
    tree_remove(&tree);
    tree_make(&tree);
    read_it();
    assert_int_equal(cpus.online + cpus.allowed + cpus.period_us, 0);
    assert_int_equal(cpus_usable_hundredths(&cpus), 0);
}

static void the_running_system_has_processors(void **state)
{
    assert_int_equal(cpus_read(real_root(), getpid(), &cpus), 0);
    assert_int_equal(cpus.online, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(cpus.allowed > 0 && cpus_usable_hundredths(&cpus) > 0);
}

#define tree_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tree_test(counts_lists),
        tree_test(the_lowest_quota_of_v2_counts),
        tree_test(the_lowest_quota_of_v1_counts),
        tree_test(affinity_can_be_less_than_the_quota),
        tree_test(nonsense_is_no_limit),
        tree_test(what_is_not_there_is_not_known),
        cmocka_unit_test(the_running_system_has_processors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
