#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs/cgroup-tree.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID_MOUNTS                                                                              \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                   \
    "32 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                  \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                            \
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static struct tree tree;
static struct named_cgroup place;
static struct why why;

static int setup(void **state)
{
    tree_make(&tree);
    memset(&place, 0, sizeof place);
    return 0;
}

static int teardown(void **state)
{
    tree_remove(&tree);
    return 0;
}

static void mounts(const char *text)
{
    tree_file(&tree, "proc/self/mountinfo", text);
}

static void find(const char *name)
{
    int r = cgroup_find_named(&tree.procfs, name, &place, &why);

    if (r)
        fail_msg("%s: %d: %s", name, r, why.text);
}

static void refuses(const char *name, int expected, const char *part)
{
    int r = cgroup_find_named(&tree.procfs, name, &place, &why);

    if (r != expected || !strstr(why.text, part))
        fail_msg("%s: %d: %s", name, r, why.text);
}

static void by_directory_and_by_path(void **state)
{
    static const char *const names[] = {"/sys/fs/cgroup/a.slice/x.service", "/a.slice/x.service",
                                        "/a.slice/x.service/",
                                        "/sys/fs/cgroup/a.slice/x.service//"};

    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    tree_file(&tree, "sys/fs/cgroup/cgroup.procs", "");
    tree_file(&tree, "sys/fs/cgroup/a.slice/x.service/cgroup.procs", "7\n");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        find(names[i]);
        assert_int_equal(place.version, 2);
        assert_true(place.counts_memory);
        assert_string_equal(place.path, "/a.slice/x.service");
        assert_string_equal(place.directory, "/sys/fs/cgroup/a.slice/x.service");
    }
    find("/");
    assert_string_equal(place.path, "/");
    find("/sys/fs/cgroup/");
    assert_string_equal(place.path, "/");
}

/* The memory controller's hierarchy is meant where the same path exists in others, too. */
static void hybrid(void **state)
{
    mounts(HYBRID_MOUNTS);
    tree_file(&tree, "sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
    tree_file(&tree, "sys/fs/cgroup/unified/a/cgroup.procs", "7\n");
    tree_file(&tree, "sys/fs/cgroup/cpu/a/cgroup.procs", "7\n");
    find("/a");
    assert_string_equal(place.directory, "/sys/fs/cgroup/unified/a");
    assert_false(place.counts_memory);
    tree_file(&tree, "sys/fs/cgroup/memory/a/cgroup.procs", "7\n");
    find("/a");
    assert_string_equal(place.directory, "/sys/fs/cgroup/memory/a");
    assert_int_equal(place.version, 1);
    assert_true(place.counts_memory);
    find("/sys/fs/cgroup/cpu/a");
    assert_false(place.counts_memory);
    assert_string_equal(place.path, "/a");
}

/* In a container only a part of the hierarchy is mounted. */
static void mounted_in_part(void **state)
{
    mounts("35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    tree_file(&tree, "sys/fs/cgroup/memory/cgroup.procs", "1\n");
    tree_file(&tree, "sys/fs/cgroup/memory/x/cgroup.procs", "1\n");
    find("/docker/abc/x");
    assert_string_equal(place.directory, "/sys/fs/cgroup/memory/x");
    find("/sys/fs/cgroup/memory/x");
    assert_string_equal(place.path, "/docker/abc/x");
    find("/docker/abc");
    assert_string_equal(place.directory, "/sys/fs/cgroup/memory");
    refuses("/docker/abcd", -ENOENT, "there is no cgroup /docker/abcd");
    refuses("/x", -ENOENT, "there is no cgroup /x");
}

static void what_is_no_cgroup(void **state)
{
    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.procs", "7\n");
    tree_directory(&tree, "srv/data");
    tree_directory(&tree, "secret");
    tree_file(&tree, "secret/cgroup.procs", "8\n");
    refuses("/b", -ENOENT, "/proc/PID/cgroup");
    refuses("a", OUTCOME_NOT_POSSIBLE, "no absolute path");
    refuses("", OUTCOME_NOT_POSSIBLE, "no absolute path");
    refuses("/srv/data", OUTCOME_NOT_POSSIBLE, "is no cgroup");
    refuses("/sys/fs/cgroup/../../../secret", OUTCOME_NOT_POSSIBLE, "is no cgroup");
    refuses("/../../../secret", -ENOENT, "there is no cgroup");
}

static void threaded_ones_are_refused(void **state)
{
    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.type", "domain threaded\n");
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.procs", "7\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/cgroup.type", "threaded\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/cgroup.procs", "");
    tree_file(&tree, "sys/fs/cgroup/a/b/c/cgroup.type", "threaded\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/c/cgroup.procs", "");
    find("/a");
    refuses("/a/b", OUTCOME_NOT_POSSIBLE, "belong to /sys/fs/cgroup/a; name that");
    refuses("/a/b/c", OUTCOME_NOT_POSSIBLE, "belong to /sys/fs/cgroup/a; name that");
}

static void with_its_descendants(void **state)
{
    static const pid_t expected[] = {3, 5, 7, 9, 11};
    size_t count, foreign;
    pid_t *pids;

    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.procs", "7\n3\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/cgroup.procs", "0\n5\n3\n0\n");
    tree_file(&tree, "sys/fs/cgroup/a/b/c/cgroup.procs", "11\n");
    tree_file(&tree, "sys/fs/cgroup/a/d/cgroup.procs", "9\n9\n");
    tree_directory(&tree, "sys/fs/cgroup/a/going");
    tree_file(&tree, "sys/fs/cgroup/other/cgroup.procs", "100\n");
    find("/a");
    assert_int_equal(cgroup_processes(&tree.procfs, &place, &pids, &count, &foreign, &why), 0);
    assert_int_equal(count, 5);
    assert_memory_equal(pids, expected, sizeof expected);
    assert_int_equal(foreign, 2);
    free(pids);
    tree_file(&tree, "sys/fs/cgroup/a/d/cgroup.procs", "what\n");
    assert_int_equal(cgroup_processes(&tree.procfs, &place, &pids, &count, &foreign, &why),
                     -EBADMSG);
}

static void nobody_in_it(void **state)
{
    size_t count = 1, foreign;
    pid_t *pids = NULL;

    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.procs", "");
    find("/a");
    assert_int_equal(cgroup_processes(&tree.procfs, &place, &pids, &count, &foreign, &why), 0);
    assert_int_equal(count, 0);
    free(pids);
}

static struct cgroup_usage usage_of(const char *name)
{
    struct cgroup_usage usage;

    find(name);
    assert_int_equal(cgroup_usage_read(&tree.procfs, &place, &usage, &why), 0);
    return usage;
}

static void usage_of_v2(void **state)
{
    struct cgroup_usage usage;

    mounts(V2_MOUNT);
    tree_file(&tree, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.procs", "");
    tree_file(&tree, "sys/fs/cgroup/a/cgroup.type", "domain\n");
    tree_file(&tree, "sys/fs/cgroup/a/memory.current", "10000\n");
    tree_file(&tree, "sys/fs/cgroup/a/memory.max", "12000\n");
    tree_file(&tree, "sys/fs/cgroup/a/memory.stat",
              "anon 5000\nfile 3000\nkernel 1500\nkernel_stack 20\nshmem 700\nfile_mapped 900\n");
    usage = usage_of("/a");
    assert_int_equal(usage.memory.charge_bytes, 10000);
    assert_int_equal(usage.memory.room_bytes, 2000);
    assert_true(usage.parts_known && usage.kernel_known);
    assert_int_equal(usage.anon_bytes, 5000);
    assert_int_equal(usage.file_bytes, 3000);
    assert_int_equal(usage.shmem_bytes, 700);
    assert_int_equal(usage.kernel_bytes, 1500);
    assert_int_equal(cgroup_unmapped_file_bytes(&usage), 2100);
    assert_int_equal(cgroup_unnamed_bytes(&usage), 500);
    tree_file(&tree, "sys/fs/cgroup/a/memory.stat", "anon 9999\nfile_mapped 2\n");
    usage = usage_of("/a");
    assert_false(usage.kernel_known);
    /* the figures are not of one moment */
    assert_int_equal(cgroup_unmapped_file_bytes(&usage), 0);
    assert_int_equal(cgroup_unnamed_bytes(&usage), 1);
    tree_file(&tree, "sys/fs/cgroup/a/memory.stat", "anon lots\n");
    assert_false(usage_of("/a").parts_known);
}

static void usage_of_v1(void **state)
{
    struct cgroup_usage usage;

    mounts(HYBRID_MOUNTS);
    tree_file(&tree, "sys/fs/cgroup/cpu/a/cgroup.procs", "");
    assert_false(usage_of("/sys/fs/cgroup/cpu/a").memory.charge_known);
    tree_file(&tree, "sys/fs/cgroup/memory/a/cgroup.procs", "");
    tree_file(&tree, "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "10000\n");
    tree_file(&tree, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    tree_file(&tree, "sys/fs/cgroup/memory/a/memory.kmem.usage_in_bytes", "77\n");
    tree_file(&tree, "sys/fs/cgroup/memory/a/memory.stat",
              "cache 1\nrss 1\nmapped_file 1\ntotal_cache 3000\ntotal_rss 5000\n"
              "total_shmem 700\ntotal_mapped_file 900\n");
    usage = usage_of("/sys/fs/cgroup/memory/a");
    assert_true(usage.memory.charge_known && usage.parts_known && usage.kernel_known);
    assert_true(usage.memory.limit_bytes == CGROUP_NO_LIMIT);
    assert_int_equal(usage.anon_bytes, 5000);
    assert_int_equal(usage.file_bytes, 3000);
    assert_int_equal(usage.kernel_bytes, 77);
    assert_int_equal(cgroup_unmapped_file_bytes(&usage), 2100);
    assert_int_equal(cgroup_unnamed_bytes(&usage), 1923);
}

int main(void)
{
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TREE_TEST(by_directory_and_by_path),
        TREE_TEST(hybrid),
        TREE_TEST(mounted_in_part),
        TREE_TEST(what_is_no_cgroup),
        TREE_TEST(threaded_ones_are_refused),
        TREE_TEST(with_its_descendants),
        TREE_TEST(nobody_in_it),
        TREE_TEST(usage_of_v2),
        TREE_TEST(usage_of_v1),
    };

    return cmocka_run_group_tests_name("cgroup tree", tests, NULL, NULL);
}
