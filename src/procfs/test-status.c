#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "procfs/status.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static struct tree tree;

static int setup(void **state)
{
    tree_make(&tree);
    return 0;
}

static int teardown(void **state)
{
    tree_remove(&tree);
    return 0;
}

static int read_text(const char *text, struct process_status *status, struct why *why)
{
    tree_file(&tree, "proc/5/status", text);
    return status_read(&tree.procfs, 5, status, why);
}

static const char full[] =
    "Name:\tweb server\nUmask:\t0022\nState:\tt (tracing "
    "stop)\nTgid:\t5\nNgid:\t0\nPid:\t5\nPPid:\t3\n"
    "TracerPid:\t77\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\nFDSize:\t64\nGroups:\t \n"
    "VmPeak:\t    3060 kB\nVmLck:\t       1 kB\nVmPin:\t       2 kB\nVmHWM:\t    1720 kB\n"
    "VmRSS:\t    1700 kB\nRssAnon:\t     112 kB\nRssFile:\t    1500 kB\nRssShmem:\t      88 kB\n"
    "VmPTE:\t      44 kB\nVmPMD:\t      12 kB\nVmSwap:\t       9 kB\nHugetlbPages:\t    2048 kB\n"
    "THP_enabled:\t0\nThreads:\t12\nSigQ:\t0/96364\n";

static void takes_every_field(void **state)
{
    struct process_status s;

    assert_int_equal(read_text(full, &s, NULL), 0);
    assert_string_equal(s.comm, "web server");
    assert_true(s.state == 't' && s.tgid == 5 && s.ppid == 3 && s.tracer_pid == 77);
    assert_true(s.uid == 1001 && s.threads == 12 && s.thp_enabled == 0);
    assert_true(s.has_memory && !s.kernel_thread);
    assert_true(s.vm_rss_bytes == 1700 * 1024 && s.rss_anon_bytes == 112 * 1024);
    assert_true(s.rss_file_bytes == 1500 * 1024 && s.rss_shmem_bytes == 88 * 1024);
    assert_true(s.vm_swap_bytes == 9 * 1024 && s.vm_pte_bytes == 56 * 1024);
    assert_true(s.vm_locked_bytes == 1024 && s.vm_pinned_bytes == 2048);
    assert_true(s.vm_hwm_bytes == 1720 * 1024 && s.hugetlb_bytes == 2048 * 1024);
}

/* A name may hold any character, and look like the fields behind it. */
static void counts_page_faults(void **state)
{
    struct page_faults faults;
    struct why why = {0};

    tree_file(&tree, "proc/5/stat", "5 (a) S 1 1) S 3 5 5 0 -1 4194304 472 11 7 22 1 2 3 4\n");
    assert_int_equal(page_faults_read(&tree.procfs, 5, &faults, &why), 0);
    assert_true(faults.minor == 472 && faults.major == 7);
    tree_file(&tree, "proc/5/stat", "5 (a) S 3 5 5 0\n");
    assert_int_equal(page_faults_read(&tree.procfs, 5, &faults, &why), -EBADMSG);
    assert_int_equal(page_faults_read(&tree.procfs, 6, &faults, &why), -ESRCH);
}

static void unescapes_names(void **state)
{
    struct process_status s;

    assert_int_equal(read_text("Name:\ta\\nb\\\\c\\d \nState:\tS\nTgid:\t5\n", &s, NULL), 0);
    assert_string_equal(s.comm, "a\nb\\c\\d ");
    assert_int_equal(s.thp_enabled, -1);
}

static void cuts_long_names(void **state)
{
    char text[300] = "Name:\t";
    struct process_status s;

    memset(text + 6, 'x', 200);
    strcpy(text + 206, "\nState:\tS\nTgid:\t5\n");
    assert_int_equal(read_text(text, &s, NULL), 0);
    assert_int_equal(strlen(s.comm), sizeof s.comm - 1);
}

/* Before 6.10 there is no Kthread line, and no Vm line may as well mean that the process is
 * exiting. */
static void knows_kernel_threads_by_their_flags(void **state)
{
    struct process_status s;
    const char *text = "Name:\tkworker\nState:\tI (idle)\nTgid:\t5\n";

    assert_int_equal(read_text(text, &s, NULL), 0);
    assert_false(s.kernel_thread);
    tree_file(&tree, "proc/5/stat", "5 (k) w) I 2 0 0 0 -1 2129984 0 0\n");
    assert_int_equal(read_text(text, &s, NULL), 0);
    assert_true(s.kernel_thread);
    tree_file(&tree, "proc/5/stat", "5 (k) w) R 2 0 0 0 -1 4194304 0 0\n");
    assert_int_equal(read_text(text, &s, NULL), 0);
    assert_false(s.kernel_thread);
    tree_file(&tree, "proc/5/stat", "5 (k");
    assert_int_equal(read_text(text, &s, NULL), 0);
    assert_false(s.kernel_thread);
}

static void refuses_and_quotes(void **state)
{
    static const char *const wrong[] = {
        "nonsense\n",
        "State:\tS\nTgid:\t5\nVmRSS:\tmuch\n",
        "State:\tS\nTgid:\t5\nVmRSS:\t18446744073709551615 kB\n",
        "State:\tS\nTgid:\t5\nVmPTE:\t18014398509481983 kB\nVmPMD:\t18014398509481983 kB\n",
        "State:\tS\nTgid:\t-5\n",
        "State:\tS\nTgid:\t2147483648\n",
        "State:\t\nTgid:\t5\n",
        "State:\tS\nTgid:\t5\nUid:\t0\n",
        "State:\tS\nTgid:\t5\nTHP_enabled:\t2\n",
        "Tgid:\t5\n",
        "State:\tS\n",
        "",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct process_status s = {.threads = 42};
        struct why why = {""};

        assert_int_equal(read_text(wrong[i], &s, &why), -EBADMSG);
        assert_int_equal(s.threads, 42);
        assert_true(strlen(why.text) > 10);
    }
}

static void survives_hostile_text(void **state)
{
    uint64_t seed = 99;

    for (int round = 0; round < 3000; round++) {
        char text[sizeof full];
        struct process_status s;

        memcpy(text, full, sizeof full);
        for (int i = 0; i < 1 + round % 5; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % (sizeof full - 1)] = (char)(seed >> 25);
        }
        tree_bytes(&tree, "proc/5/status", text, (seed >> 40) % sizeof full);
        if (status_read(&tree.procfs, 5, &s, NULL) == 0)
            assert_true(strlen(s.comm) < sizeof s.comm);
    }
}

static void prepare(void *context)
{
    char *area = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    prctl(PR_SET_NAME, "a\nb\\n", 0, 0, 0);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    if (area == MAP_FAILED || lock_pages(area, 1 << 20) < 0)
        _exit(1);
    memset(area, 1, 4 << 20);
}

static void reads_a_real_process(void **state)
{
    struct victim victim;
    struct process_status s;
    char *exe, *own;

    victim_start(&victim, prepare, NULL);
    assert_int_equal(status_read(real_root(), victim.pid, &s, NULL), 0);
    assert_int_equal(process_exe(real_root(), victim.pid, &exe), 0);
    assert_int_equal(process_exe(real_root(), getpid(), &own), 0);
    victim_kill(&victim);
    assert_string_equal(s.comm, "a\nb\\n");
    assert_int_equal(s.ppid, getpid());
    assert_true(s.uid == geteuid() && s.threads == 1 && s.has_memory && !s.kernel_thread);
    assert_true(s.vm_locked_bytes == 1 << 20 && s.rss_anon_bytes >= 4 << 20);
    assert_true(s.vm_rss_bytes == s.rss_anon_bytes + s.rss_file_bytes + s.rss_shmem_bytes);
    assert_int_equal(s.thp_enabled, 0);
    assert_string_equal(exe, own);
    free(exe);
    free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(unescapes_names, setup, teardown),
        cmocka_unit_test_setup_teardown(cuts_long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_kernel_threads_by_their_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_and_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_hostile_text, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_page_faults, setup, teardown),
        cmocka_unit_test(reads_a_real_process),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
