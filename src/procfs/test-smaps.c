#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "procfs/smaps.h"
#include "procfs/status.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static const char sample[] =
    "559d4aa76000-559d4aa97000 rw-p 00000000 00:00 0                          [heap]\n"
    "Size:                132 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
    "Rss:                 100 kB\nPss:                  99 kB\nShared_Clean:          1 kB\n"
    "Shared_Dirty:          2 kB\nPrivate_Clean:         3 kB\nPrivate_Dirty:        94 kB\n"
    "Anonymous:            90 kB\nLazyFree:              5 kB\nAnonHugePages:         0 kB\n"
    "ShmemPmdMapped:        6 kB\nFilePmdMapped:         7 kB\nShared_Hugetlb:        0 kB\n"
    "Private_Hugetlb:       0 kB\nSwap:                  8 kB\nSwapPss:               8 kB\n"
    "Locked:                9 kB\nTHPeligible:           0\nVmFlags: rd wr mr mw me lo ac hg um \n"
    "7f0000000000-7f0000400000 rw-s 00000000 00:0f 9               /anon_hugepage (deleted)\n"
    "Rss:                   0 kB\nShared_Hugetlb:     2048 kB\nPrivate_Hugetlb:    4096 kB\n"
    "ProtectionKey:         0\nVmFlags: rd wr sh ht nh \n"
    "7f0000400000-7f0000402000 r--p 00000000 00:00 0                          [vvar]\n"
    "Rss:                   0 kB\nAnonHugePages:      2048 kB\nVmFlags: rd pf io de dd ui\n";

struct seen {
    struct smaps_entry entries[8];
    size_t count, stop_after;
};

static int collect(void *context, const struct smaps_entry *entry)
{
    struct seen *seen = context;

    assert_true(seen->count < 8);
    seen->entries[seen->count++] = *entry;
    return seen->count == seen->stop_after ? 17 : 0;
}

static void check_sample(const struct seen *seen)
{
    const struct smaps_entry *e = seen->entries;

    assert_int_equal(seen->count, 3);
    assert_true(e[0].range.start == 0x559d4aa76000 && e[0].range.end == 0x559d4aa97000);
    assert_true(e[0].rss_bytes == 100 * 1024 && e[0].anonymous_bytes == 90 * 1024);
    assert_true(e[0].swap_bytes == 8 * 1024 && e[0].shared_dirty_bytes == 2 * 1024);
    assert_true(e[0].locked && e[0].thp_advised && e[0].userfaultfd);
    assert_true(!e[0].hugetlb && !e[0].pfn_mapped && !e[0].thp_refused);
    assert_true(e[1].private_hugetlb_bytes == 4096 * 1024 && e[1].hugetlb_bytes == 6144 * 1024);
    assert_true(e[1].hugetlb && e[1].thp_refused && !e[1].locked && e[1].rss_bytes == 0);
    assert_true(e[2].pfn_mapped && e[2].anon_huge_bytes == 2 << 20 && e[2].userfaultfd);
}

static void understands_entries(void **state)
{
    struct seen seen = {0};

    assert_int_equal(smaps_parse(sample, sizeof sample - 1, collect, &seen, NULL), 0);
    check_sample(&seen);
}

static void stops_where_told(void **state)
{
    for (size_t stop = 1; stop <= 3; stop++) {
        struct seen seen = {.stop_after = stop};

        assert_int_equal(smaps_parse(sample, sizeof sample - 1, collect, &seen, NULL), 17);
        assert_int_equal(seen.count, stop);
    }
}

static void reads_a_tree(void **state)
{
    struct tree tree;
    struct seen seen = {0}, stopped = {.stop_after = 2};

    tree_make(&tree);
    tree_file(&tree, "proc/5/smaps", sample);
    assert_int_equal(smaps_each(&tree.procfs, 5, collect, &seen, NULL), 0);
    check_sample(&seen);
    assert_int_equal(smaps_each(&tree.procfs, 5, collect, &stopped, NULL), 17);
    assert_int_equal(stopped.count, 2);
    tree_remove(&tree);
}

static void check_sums(const struct smaps_rollup *r)
{
    assert_true(r->rss_bytes == 100 * 1024 && r->pss_bytes == 99 * 1024);
    assert_true(r->shared_clean_bytes == 1024 && r->shared_dirty_bytes == 2048);
    assert_true(r->private_clean_bytes == 3072 && r->private_dirty_bytes == 94 * 1024);
    assert_true(r->anonymous_bytes == 90 * 1024 && r->lazyfree_bytes == 5 * 1024);
    assert_true(r->anon_huge_bytes == 2 << 20 && r->shmem_huge_bytes == 6 * 1024);
    assert_true(r->file_huge_bytes == 7 * 1024 && r->hugetlb_bytes == 6 << 20);
    assert_true(r->swap_bytes == 8 * 1024 && r->locked_bytes == 9 * 1024);
}

/* The sums are the same, whether the kernel makes them or we do. */
static void sums_where_there_is_no_rollup(void **state)
{
    struct tree tree;
    struct smaps_rollup rollup = {0};

    tree_make(&tree);
    tree_file(&tree, "proc/5/status", "State:\tS\nTgid:\t5\n");
    tree_file(&tree, "proc/5/smaps", sample);
    assert_int_equal(smaps_rollup_read(&tree.procfs, 5, &rollup, NULL), 0);
    check_sums(&rollup);
    tree_file(&tree, "proc/5/smaps_rollup",
              "559d2aa74000-7ffeaff87000 ---p 00000000 00:00 0        [rollup]\nRss:  4 kB\n");
    assert_int_equal(smaps_rollup_read(&tree.procfs, 5, &rollup, NULL), 0);
    assert_int_equal(rollup.rss_bytes, 4096);
    assert_int_equal(rollup.pss_bytes, 0);
    tree_file(&tree, "proc/5/smaps_rollup", "559d2aa74000-7ffeaff87000 ---p\nPss:  4 kB\n");
    assert_int_equal(smaps_rollup_read(&tree.procfs, 5, &rollup, NULL), -EBADMSG);
    assert_int_equal(rollup.rss_bytes, 4096);
    tree_remove(&tree);
}

static void refuses_and_quotes(void **state)
{
    static const char *const wrong[] = {
        "Rss: 4 kB\n",
        "1000-2000 r--p 0 0:0 0\nRss\n",
        "1000-2000 r--p 0 0:0 0\n\n",
        "1000-2000 r--p 0 0:0 0\nRss: 18014398509481983 kB\nRss: 18014398509481983 kB\n",
        "1000-2000 r--p\n",
        "2000-1000 r--p 0 0:0 0\n",
        "1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct seen seen = {0};
        struct why why = {""};

        assert_int_equal(smaps_parse(wrong[i], strlen(wrong[i]), collect, &seen, &why), -EBADMSG);
        assert_non_null(strchr(why.text, '"'));
    }
}

static int ignore(void *context, const struct smaps_entry *entry)
{
    return 0;
}

static void survives_hostile_text(void **state)
{
    uint64_t seed = 4711;

    for (int round = 0; round < 20000; round++) {
        char text[sizeof sample];

        memcpy(text, sample, sizeof sample);
        for (int i = 0; i < 1 + round % 5; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % (sizeof sample - 1)] = (char)(seed >> 25);
        }
        (void)!smaps_parse(text, (seed >> 40) % sizeof sample, ignore, NULL, NULL);
    }
}

static int count_rss(void *context, const struct smaps_entry *entry)
{
    uint64_t *sums = context;

    sums[0]++;
    sums[1] += entry->rss_bytes;
    return 0;
}

/* Far more text than the buffer holds, so that entries and lines fall across its end. */
static void streams_large_files(void **state)
{
    enum { COUNT = 20000 };
    struct tree tree;
    char *text = malloc((size_t)COUNT * 200);
    size_t length = 0;
    uint64_t sums[2] = {0};

    assert_non_null(text);
    for (uint64_t i = 0; i < COUNT; i++)
        length += (size_t)sprintf(
            text + length, "%lx-%lx rw-p 00000000 00:00 0 %.*s\nRss: %lu kB\nVmFlags: rd \n",
            0x10000 + i * 4096, 0x11000 + i * 4096, (int)(i % 97),
            "/...............................................................", i % 7);
    tree_make(&tree);
    tree_bytes(&tree, "proc/5/smaps", text, length);
    assert_int_equal(smaps_each(&tree.procfs, 5, count_rss, sums, NULL), 0);
    assert_int_equal(sums[0], COUNT);
    assert_int_equal(sums[1],
                     1024 * (COUNT / 7 * 21)); /* 20000 = 7 * 2857 + 1, and the last adds 0 */
    memset(text, 'x', 100000);
    tree_bytes(&tree, "proc/5/smaps", text, 100000);
    assert_int_equal(smaps_each(&tree.procfs, 5, count_rss, sums, NULL), -EBADMSG);
    tree_remove(&tree);
    free(text);
}

/* --- real processes ----------------------------------------------------------------------- */

struct areas {
    char *locked, *advised, *refused, *plain;
};

static char *map_pages(size_t count)
{
    char *at = mmap(NULL, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        _exit(1);
    memset(at, 1, count * 4096);
    return at;
}

static void prepare(void *context)
{
    struct areas *areas = context; /* shared with the test */

    areas->plain = map_pages(11);
    areas->locked = map_pages(7);
    if (lock_pages(areas->locked, 7 * 4096) < 0)
        _exit(1);
    areas->advised = map_pages(600);
    madvise(areas->advised, 600 * 4096, MADV_HUGEPAGE);
    areas->refused = map_pages(5);
    madvise(areas->refused, 5 * 4096, MADV_NOHUGEPAGE);
}

struct find {
    uint64_t address;
    struct smaps_entry entry;
};

static int find(void *context, const struct smaps_entry *entry)
{
    struct find *wanted = context;

    if (!range_has(entry->range, wanted->address))
        return 0;
    wanted->entry = *entry;
    return 1;
}

static struct smaps_entry entry_of(pid_t pid, const char *at)
{
    struct find wanted = {.address = (uintptr_t)at};

    assert_int_equal(smaps_each(real_root(), pid, find, &wanted, NULL), 1);
    return wanted.entry;
}

static void check_flags(pid_t pid, const struct areas *areas)
{
    struct maps maps;
    size_t special = 0;

    assert_int_equal(maps_read(real_root(), pid, &maps, NULL), 0);
    assert_int_equal(smaps_read_flags(real_root(), pid, &maps, NULL), 0);
    for (size_t i = 0; i < maps.count; i++) {
        bool locked = range_has(maps.items[i].range, (uintptr_t)areas->locked);

        assert_int_equal(maps.items[i].locked, locked);
        special += maps.items[i].pfn_mapped;
        if (maps.items[i].pfn_mapped)
            assert_true(vma_is_special(&maps.items[i]));
    }
    assert_true(special > 0); /* [vvar] */
    maps_free(&maps);
}

static void agrees_with_a_real_process(void **state)
{
    struct areas *areas =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct victim victim;
    struct smaps_rollup rollup;
    uint64_t sums[2] = {0};

    assert_true(areas != MAP_FAILED);
    victim_start(&victim, prepare, areas);
    assert_int_equal(smaps_rollup_read(real_root(), victim.pid, &rollup, NULL), 0);
    assert_int_equal(smaps_each(real_root(), victim.pid, count_rss, sums, NULL), 0);
    assert_int_equal(sums[1], rollup.rss_bytes);
    assert_true(rollup.rss_bytes >= rollup.anonymous_bytes);
    assert_true(rollup.anonymous_bytes >= 623 * 4096);
    assert_int_equal(rollup.locked_bytes, 7 * 4096);
    assert_true(entry_of(victim.pid, areas->locked).locked);
    assert_int_equal(entry_of(victim.pid, areas->locked).rss_bytes, 7 * 4096);
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0) {
        assert_true(entry_of(victim.pid, areas->advised).thp_advised);
        assert_true(entry_of(victim.pid, areas->refused).thp_refused);
    }
    check_flags(victim.pid, areas);
    victim_kill(&victim);
    munmap(areas, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands_entries), cmocka_unit_test(stops_where_told),
        cmocka_unit_test(reads_a_tree),        cmocka_unit_test(sums_where_there_is_no_rollup),
        cmocka_unit_test(refuses_and_quotes),  cmocka_unit_test(survives_hostile_text),
        cmocka_unit_test(streams_large_files), cmocka_unit_test(agrees_with_a_real_process),
    };

    return cmocka_run_group_tests_name("smaps", tests, NULL, NULL);
}
