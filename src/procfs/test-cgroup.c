#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "procfs/cgroup.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static struct tree tree;
static struct cgroup_memory cgroup;

static int setup(void **state)
{
    tree_make(&tree);
    memset(&cgroup, 0, sizeof cgroup);
    return 0;
}

static int teardown(void **state)
{
    tree_remove(&tree);
    return 0;
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                                                   \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                   \
    "32 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                  \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void describe(const char *membership, const char *mounts)
{
    tree_file(&tree, "proc/5/status", "State:\tS\nTgid:\t5\n");
    tree_file(&tree, "proc/5/cgroup", membership);
    tree_file(&tree, "proc/self/mountinfo", mounts);
}

static void group2(const char *directory, const char *current, const char *max)
{
    char path[300];

    snprintf(path, sizeof path, "sys/fs/cgroup%s/memory.current", directory);
    tree_file(&tree, path, current);
    snprintf(path, sizeof path, "sys/fs/cgroup%s/memory.max", directory);
    tree_file(&tree, path, max);
    snprintf(path, sizeof path, "sys/fs/cgroup%s/cgroup.type", directory);
    tree_file(&tree, path, "domain\n");
}

static void group1(const char *directory, const char *usage, const char *limit)
{
    char path[300];

    snprintf(path, sizeof path, "sys/fs/cgroup/memory%s/memory.usage_in_bytes", directory);
    tree_file(&tree, path, usage);
    snprintf(path, sizeof path, "sys/fs/cgroup/memory%s/memory.limit_in_bytes", directory);
    tree_file(&tree, path, limit);
}

static void read_it(void)
{
    struct why why = {""};
    int r = cgroup_memory_read(&tree.procfs, 5, &cgroup, &why);

    if (r)
        fail_msg("%d: %s", r, why.text);
}

static void v2_own_limit(void **state)
{
    describe("0::/web.slice/a: b.service\n", V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    group2("/web.slice", "9000\n", "max\n");
    group2("/web.slice/a: b.service", "8192\n", "1048576\n");
    read_it();
    assert_int_equal(cgroup.version, 2);
    assert_string_equal(cgroup.path, "/web.slice/a: b.service");
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 8192);
    assert_int_equal(cgroup.limit_bytes, 1048576);
    assert_true(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 1048576 - 8192);
    assert_string_equal(cgroup.charge_path, "/sys/fs/cgroup/web.slice/a: b.service");
}

static void v2_an_ancestors_limit_is_lower(void **state)
{
    describe("0::/a/b/c\n", V2_MOUNT);
    group2("/a", "1\n", "4096\n");
    group2("/a/b", "2\n", "8192\n");
    group2("/a/b/c", "3\n", "max\n");
    read_it();
    assert_int_equal(cgroup.charge_bytes, 3);
    assert_int_equal(cgroup.limit_bytes, 4096);
    group2("/a", "1\n", "max\n");
    group2("/a/b", "2\n", "max\n");
    read_it();
    assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
}

/* The first limit to be reached need not be the lowest one: neighbours fill an ancestor's, too. */
static void v2_room_is_the_scarcest(void **state)
{
    describe("0::/a/b\n", V2_MOUNT);
    group2("/a", "9900\n", "10000\n");
    group2("/a/b", "1000\n", "4096\n");
    read_it();
    assert_int_equal(cgroup.limit_bytes, 4096);
    assert_true(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 100);
    group2("/a", "10001\n", "10000\n"); /* lowered below what is there */
    read_it();
    assert_true(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 0);
    group2("/a", "lots\n", "10000\n");
    read_it();
    assert_false(cgroup.room_known);
    group2("/a", "1\n", "max\n");
    group2("/a/b", "1000\n", "max\n");
    read_it();
    assert_false(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 0);
}

/* Where memory is not enabled for a group, its pages are charged to the next one above that has it.
 */
static void v2_not_enabled_down_here(void **state)
{
    describe("0::/a/b/c\n", V2_MOUNT);
    group2("/a", "7\n", "4096\n");
    tree_directory(&tree, "sys/fs/cgroup/a/b");
    tree_directory(&tree, "sys/fs/cgroup/a/b/c");
    read_it();
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 7);
    assert_int_equal(cgroup.limit_bytes, 4096);
    assert_string_equal(cgroup.charge_path, "/sys/fs/cgroup/a");
    assert_string_equal(cgroup.path, "/a/b/c");
}

/* The root of v2 has no memory.current. */
static void v2_root(void **state)
{
    describe("0::/\n", V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "memory\n");
    read_it();
    assert_int_equal(cgroup.version, 2);
    assert_string_equal(cgroup.path, "/");
    assert_false(cgroup.charge_known);
    assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
}

/* In a container with a cgroup namespace, its own group is the root of all it sees, and has the
 * files. */
static void v2_namespace(void **state)
{
    describe("0::/\n", V2_MOUNT);
    group2("", "77\n", "88\n");
    read_it();
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 77);
    assert_int_equal(cgroup.limit_bytes, 88);
    /* the controller may not be enabled in there: that says nothing of the hierarchy */
    unlinkat(tree.procfs.root_fd, "sys/fs/cgroup/memory.current", 0);
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "pids\n");
    read_it();
    assert_int_equal(cgroup.version, 2);
    assert_false(cgroup.charge_known);
}

static void outside_our_namespace(void **state)
{
    static const char *const paths[] = {"/../other", "/..", "/../..", "/a/../../b"};

    group2("", "77\n", "88\n");
    group2("/other", "1\n", "1\n");
    tree_file(&tree, "memory.current", "666\n");
    tree_file(&tree, "other/memory.current", "666\n");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char line[100];

        snprintf(line, sizeof line, "0::%s\n", paths[i]);
        describe(line, V2_MOUNT);
        read_it();
        assert_int_equal(cgroup.version, 2);
        assert_string_equal(cgroup.path, paths[i]);
        assert_false(cgroup.charge_known);
        assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
    }
}

/* A mount made outside our namespace shows groups that our own paths reach by "..". */
static void mounted_from_outside_our_namespace(void **state)
{
    describe("0::/../other/x..y\n", "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    group2("/other/x..y", "5\n", "6\n");
    read_it();
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 5);
    /* the name of our own group's directory cannot be known here */
    describe("0::/mine\n", "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    group2("/mine", "5\n", "6\n");
    read_it();
    assert_false(cgroup.charge_known);
}

static void v1_limits(void **state)
{
    describe("9:name=systemd:/\n4:cpu,memory:/a/b\n3:cpuset:/\n0::/\n", V1_MOUNT);
    group1("", "100\n", "9223372036854771712\n");
    group1("/a", "50\n", "9223372036854771712\n");
    group1("/a/b", "40\n", "9223372036854771712\n");
    read_it();
    assert_int_equal(cgroup.version, 1);
    assert_string_equal(cgroup.path, "/a/b");
    assert_int_equal(cgroup.charge_bytes, 40);
    assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
    group1("/a", "50\n", "60\n");
    read_it();
    assert_int_equal(cgroup.limit_bytes, 60);
    group1("/a/b", "40\n", "9223372036854775807\n"); /* 3.x */
    read_it();
    assert_int_equal(cgroup.limit_bytes, 60);
}

/* memory.stat knows of ancestors beyond the mount, and of those that do not count (use_hierarchy
 * 0). */
static void v1_hierarchical_limit(void **state)
{
    describe("4:memory:/docker/abc\n",
             "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    group1("", "40\n", "9223372036854771712\n");
    tree_file(&tree, "sys/fs/cgroup/memory/memory.stat",
              "cache 1\nhierarchical_memory_limit 4096\nhierarchical_memsw_limit 1\n");
    read_it();
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 40);
    assert_int_equal(cgroup.limit_bytes, 4096);
    group1("", "40\n", "10\n");
    tree_file(&tree, "sys/fs/cgroup/memory/memory.stat",
              "hierarchical_memory_limit 9223372036854771712\n");
    read_it();
    assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
}

static void v1_room(void **state)
{
    describe("4:memory:/a/b\n", V1_MOUNT);
    group1("", "1000\n", "9223372036854771712\n");
    group1("/a", "500\n", "600\n");
    group1("/a/b", "40\n", "9223372036854771712\n");
    read_it();
    assert_true(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 100);
    /* it counts itself alone, so that its limit is none for those below */
    group1("/a/b", "40\n", "2000\n");
    tree_file(&tree, "sys/fs/cgroup/memory/a/memory.use_hierarchy", "0\n");
    tree_file(&tree, "sys/fs/cgroup/memory/a/b/memory.stat", "hierarchical_memory_limit 2000\n");
    read_it();
    assert_int_equal(cgroup.limit_bytes, 2000);
    assert_true(cgroup.room_known);
    assert_int_equal(cgroup.room_bytes, 1960);
    /* the limit of an ancestor that is not to be seen from here */
    tree_file(&tree, "sys/fs/cgroup/memory/a/b/memory.stat", "hierarchical_memory_limit 1000\n");
    read_it();
    assert_int_equal(cgroup.limit_bytes, 1000);
    assert_false(cgroup.room_known);
}

/* A process of another container is not below the directory that is mounted, even if its name
 * begins alike. */
static void v1_elsewhere(void **state)
{
    describe("4:memory:/docker/abcdef\n",
             "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    group1("", "40\n", "50\n");
    group1("def", "40\n", "50\n");
    read_it();
    assert_int_equal(cgroup.version, 1);
    assert_false(cgroup.charge_known);
}

static void hybrid_with_memory_in_v1(void **state)
{
    describe("4:memory:/a\n0::/user.slice\n",
             V1_MOUNT "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    group1("/a", "40\n", "50\n");
    read_it();
    assert_int_equal(cgroup.version, 1);
    assert_string_equal(cgroup.path, "/a");
    assert_int_equal(cgroup.limit_bytes, 50);
}

static void no_memory_controller(void **state)
{
    /* hybrid, cgroup_disable=memory */
    describe("3:cpu:/a\n0::/user.slice\n",
             "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    tree_file(&tree, "sys/fs/cgroup/unified/cgroup.controllers", "hugetlb pids\n");
    read_it();
    assert_int_equal(cgroup.version, 0);
    assert_string_equal(cgroup.path, "");
    describe("", "");
    read_it();
    assert_int_equal(cgroup.version, 0);
    unlinkat(tree.procfs.root_fd, "proc/5/cgroup", 0); /* a kernel without cgroups */
    read_it();
    assert_int_equal(cgroup.version, 0);
}

static void not_mounted_or_removed(void **state)
{
    describe("0::/a\n", "23 1 254:0 / / rw - ext4 /dev/root rw\n");
    read_it();
    assert_int_equal(cgroup.version, 2);
    assert_false(cgroup.charge_known);
    describe("0::/gone (deleted)\n", V2_MOUNT);
    group2("", "1\n", "2\n");
    read_it();
    assert_string_equal(cgroup.path, "/gone (deleted)");
    assert_false(cgroup.charge_known);
    unlinkat(tree.procfs.root_fd, "proc/self/mountinfo", 0);
    read_it();
    assert_false(cgroup.charge_known);
}

/* Opening one can block, or have effects. */
static void opens_nothing_but_directories(void **state)
{
    describe("0::/pipe\n", V2_MOUNT);
    group2("", "1\n", "2\n");
    assert_int_equal(mkfifoat(tree.procfs.root_fd, "sys/fs/cgroup/pipe", 0600), 0);
    read_it();
    assert_false(cgroup.charge_known);
}

static void odd_mount_points(void **state)
{
    describe("0::/a\n", "30 23 0:26 / /my\\040cg\\134x rw - cgroup2 cgroup2 rw\n");
    tree_file(&tree, "my cg\\x/a/memory.current", "12\n");
    read_it();
    assert_true(cgroup.charge_known);
    assert_int_equal(cgroup.charge_bytes, 12);
    describe("0::/a\n", "30 23 0:26 / / rw - cgroup2 cgroup2 rw\n");
    tree_file(&tree, "a/memory.current", "13\n");
    tree_file(&tree, "memory.max", "14\n");
    read_it();
    assert_int_equal(cgroup.charge_bytes, 13);
    assert_int_equal(cgroup.limit_bytes, 14);
}

static void refuses_and_quotes(void **state)
{
    static const char *const wrong[] = {"nonsense\n", "4:memory\n", "4:memory:relative\n",
                                        ":memory:/\n", "4:memory:\n"};
    char *long_path = malloc(6000);

    cgroup.version = 42;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct why why = {""};

        describe(wrong[i], V2_MOUNT);
        assert_int_equal(cgroup_memory_read(&tree.procfs, 5, &cgroup, &why), -EBADMSG);
        assert_non_null(strchr(why.text, '"'));
    }
    assert_non_null(long_path);
    memset(long_path, '/', 5999);
    long_path[5999] = '\0';
    memcpy(long_path, "0::", 3);
    describe(long_path, V2_MOUNT);
    assert_int_equal(cgroup_memory_read(&tree.procfs, 5, &cgroup, NULL), -EBADMSG);
    free(long_path);
    describe("0::/a\n", "mount what\n");
    assert_int_equal(cgroup_memory_read(&tree.procfs, 5, &cgroup, NULL), -EBADMSG);
    assert_int_equal(cgroup.version, 42);
}

static void numbers_that_cannot_be_read(void **state)
{
    describe("0::/a/b\n", V2_MOUNT);
    group2("/a", "1\n", "4096\n");
    group2("/a/b", "lots\n", "4096\n");
    read_it();
    assert_false(cgroup.charge_known);
    assert_true(cgroup.limit_bytes == CGROUP_NO_LIMIT);
}

static void reads_this_system(void **state)
{
    struct why why = {""};
    int r = cgroup_memory_read(real_root(), getpid(), &cgroup, &why);

    if (r)
        fail_msg("%s", why.text);
    assert_in_range(cgroup.version, 0, 2);
    if (cgroup.version == 0)
        skip();
    assert_int_equal(cgroup.path[0], '/');
    if (cgroup.charge_known)
        assert_true(access(cgroup.charge_path, F_OK) == 0);
}

int main(void)
{
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TREE_TEST(v2_own_limit),
        TREE_TEST(v2_an_ancestors_limit_is_lower),
        TREE_TEST(v2_room_is_the_scarcest),
        TREE_TEST(v2_not_enabled_down_here),
        TREE_TEST(v2_root),
        TREE_TEST(v2_namespace),
        TREE_TEST(outside_our_namespace),
        TREE_TEST(mounted_from_outside_our_namespace),
        TREE_TEST(v1_limits),
        TREE_TEST(v1_hierarchical_limit),
        TREE_TEST(v1_room),
        TREE_TEST(v1_elsewhere),
        TREE_TEST(hybrid_with_memory_in_v1),
        TREE_TEST(no_memory_controller),
        TREE_TEST(not_mounted_or_removed),
        TREE_TEST(opens_nothing_but_directories),
        TREE_TEST(odd_mount_points),
        TREE_TEST(refuses_and_quotes),
        TREE_TEST(numbers_that_cannot_be_read),
        TREE_TEST(reads_this_system),
    };

    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
