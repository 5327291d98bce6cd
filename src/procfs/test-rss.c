#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "procfs/rss.h"
#include "procfs/smaps.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

/* The sums came in 6.16, and in some stable kernels before; no kernel since is known to have lost
 * them. */
static void finds_this_kernel_exact(void **state)
{
    for (int i = 0; i < 10; i++) {
        struct why why = {""};
        int r = rss_status_is_exact(real_root(), &why);

        if (r < 0)
            fail_msg("%s", why.text);
        assert_true(r == 0 || r == 1);
        if (kernel_at_least(6, 16) && !HAS_ADDRESS_SANITIZER) /* which disturbs every round */
            assert_int_equal(r, 1);
    }
}

static void make_self(struct tree *tree, const char *status_kb, const char *rollup_kb)
{
    char text[200];

    snprintf(text, sizeof text, "State:\tR\nTgid:\t7\nVmRSS:\t%s kB\nVmSwap:\t3 kB\n", status_kb);
    tree_file(tree, "proc/7/status", text);
    snprintf(text, sizeof text, "1000-2000 ---p 00000000 00:00 0 [rollup]\nRss:  %s kB\n",
             rollup_kb);
    tree_file(tree, "proc/7/smaps_rollup", text);
}

static void finds_estimates(void **state)
{
    struct tree tree;
    struct why why = {""};

    tree_make(&tree);
    assert_int_equal(rss_status_is_exact(&tree.procfs, &why), -ENOENT);
    assert_non_null(strstr(why.text, "/proc/self"));
    tree_link(&tree, "proc/self", "7");
    assert_int_equal(rss_status_is_exact(&tree.procfs, &why), -ESRCH);
    make_self(&tree, "100", "100");
    assert_int_equal(rss_status_is_exact(&tree.procfs, NULL), 1);
    make_self(&tree, "100", "104");
    assert_int_equal(rss_status_is_exact(&tree.procfs, NULL), 0);
    tree_remove(&tree);
}

static void does_not_trust_a_strange_self(void **state)
{
    struct tree tree;
    struct why why = {""};

    tree_make(&tree);
    tree_link(&tree, "proc/self", "7/../8");
    assert_int_equal(rss_status_is_exact(&tree.procfs, &why), -EBADMSG);
    tree_remove(&tree);
}

static void reads_each_source(void **state)
{
    struct tree tree;
    struct rss rss = {0};

    tree_make(&tree);
    make_self(&tree, "100", "104");
    assert_int_equal(rss_read(&tree.procfs, 7, RSS_FROM_STATUS, &rss, NULL), 0);
    assert_true(rss.rss_bytes == 100 * 1024 && rss.source == RSS_FROM_STATUS);
    assert_int_equal(rss_read(&tree.procfs, 7, RSS_FROM_SMAPS_ROLLUP, &rss, NULL), 0);
    assert_true(rss.rss_bytes == 104 * 1024 && rss.source == RSS_FROM_SMAPS_ROLLUP);
    assert_int_equal(rss.swap_bytes, 3 * 1024);
    tree_file(&tree, "proc/7/smaps_rollup", "nothing\n");
    assert_int_equal(rss_read(&tree.procfs, 7, RSS_FROM_SMAPS_ROLLUP, &rss, NULL), -EBADMSG);
    assert_int_equal(rss.rss_bytes, 104 * 1024);
    tree_remove(&tree);
}

/* A kernel thread has no memory to walk. */
static void what_has_no_memory_has_zeros(void **state)
{
    struct tree tree;
    struct rss rss = {.rss_bytes = 1};

    tree_make(&tree);
    tree_file(&tree, "proc/7/status", "State:\tI\nTgid:\t7\nKthread:\t1\n");
    assert_int_equal(rss_read(&tree.procfs, 7, RSS_FROM_SMAPS_ROLLUP, &rss, NULL), 0);
    assert_int_equal(rss.rss_bytes, 0);
    tree_remove(&tree);
}

static void touch_odd_pages(void *context)
{
    char *area = mmap(NULL, 40 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, 9 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED || shared == MAP_FAILED)
        _exit(1);
    madvise(area, 40 << 20, MADV_NOHUGEPAGE);
    for (int i = 0; i < 5003; i++)
        area[i * 8192] = 1;
    memset(shared, 1, 9 * 4096);
}

static void sources_agree_on_a_real_process(void **state)
{
    struct victim victim;
    struct rss by_status, by_walk;
    int exact = rss_status_is_exact(real_root(), NULL);

    victim_start(&victim, touch_odd_pages, NULL);
    assert_int_equal(rss_read(real_root(), victim.pid, RSS_FROM_STATUS, &by_status, NULL), 0);
    assert_int_equal(rss_read(real_root(), victim.pid, RSS_FROM_SMAPS_ROLLUP, &by_walk, NULL), 0);
    victim_kill(&victim);
    assert_true(by_walk.rss_bytes > 5003 * 4096);
    assert_true(by_walk.cost_ns > 0 && by_walk.page_table_bytes > 0);
    if (exact == 1) {
        assert_int_equal(by_status.rss_bytes, by_walk.rss_bytes);
        assert_int_equal(by_status.rss_bytes,
                         by_status.anon_bytes + by_status.file_bytes + by_status.shmem_bytes);
        assert_int_equal(by_status.shmem_bytes, 9 * 4096);
    }
}

static void names_sources(void **state)
{
    assert_string_equal(rss_source_name(RSS_FROM_STATUS), "status");
    assert_string_equal(rss_source_name(RSS_FROM_SMAPS_ROLLUP), "smaps_rollup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_this_kernel_exact),
        cmocka_unit_test(finds_estimates),
        cmocka_unit_test(does_not_trust_a_strange_self),
        cmocka_unit_test(reads_each_source),
        cmocka_unit_test(what_has_no_memory_has_zeros),
        cmocka_unit_test(sources_agree_on_a_real_process),
        cmocka_unit_test(names_sources),
    };

    return cmocka_run_group_tests_name("rss", tests, NULL, NULL);
}
