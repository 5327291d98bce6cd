/* What has gone is told from what may not be looked at, by every reader alike. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs/cgroup.h"
#include "procfs/maps.h"
#include "procfs/pages.h"
#include "procfs/process.h"
#include "procfs/rss.h"
#include "procfs/smaps.h"
#include "procfs/status.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static int read_maps(const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct maps maps;
    int r = maps_read(procfs, pid, &maps, why);

    if (r == 0)
        maps_free(&maps);
    return r;
}

static int read_pages(const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct page_source source;
    int r = page_source_open(procfs, pid, &source, why);

    if (r == 0)
        page_source_close(&source);
    return r;
}

static int ignore(void *context, const struct smaps_entry *entry)
{
    return 0;
}

static int read_smaps(const struct procfs *procfs, pid_t pid, struct why *why)
{
    return smaps_each(procfs, pid, ignore, NULL, why);
}

static int read_rollup(const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct smaps_rollup rollup;

    return smaps_rollup_read(procfs, pid, &rollup, why);
}

/* All that need the memory of the process and the right to look at it. */
static int (*const readers[])(const struct procfs *, pid_t,
                              struct why *) = {read_maps, read_pages, read_smaps, read_rollup};
enum { READERS = sizeof readers / sizeof *readers };

static void expect(const struct procfs *procfs, pid_t pid, int error, const char *sentence)
{
    for (size_t i = 0; i < READERS; i++) {
        struct why why = {""};

        assert_int_equal(readers[i](procfs, pid, &why), error);
        if (!strstr(why.text, sentence))
            fail_msg("reader %zu says: %s", i, why.text);
    }
}

static void tells_the_living(void **state)
{
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(readers[i](real_root(), getpid(), NULL), 0);
}

static void tells_zombies(void **state)
{
    pid_t pid = zombie_make();
    struct process_status status;
    struct rss rss;

    expect(real_root(), pid, -ESRCH, "has exited");
    assert_int_equal(status_read(real_root(), pid, &status, NULL), 0);
    assert_int_equal(status.state, 'Z');
    assert_false(status.has_memory);
    assert_false(status.kernel_thread);
    assert_int_equal(rss_read(real_root(), pid, RSS_FROM_SMAPS_ROLLUP, &rss, NULL), 0);
    assert_int_equal(rss.rss_bytes, 0);
    waitpid(pid, NULL, 0);
}

static void tells_the_vanished(void **state)
{
    pid_t pid = zombie_make();
    struct process_status status;
    struct rss rss;
    struct why why = {""};
    struct cgroup_memory *cgroup = malloc(sizeof *cgroup);

    waitpid(pid, NULL, 0);
    expect(real_root(), pid, -ESRCH, "there is no process");
    assert_int_equal(status_read(real_root(), pid, &status, &why), -ESRCH);
    assert_non_null(strstr(why.text, "there is no process"));
    assert_int_equal(rss_read(real_root(), pid, RSS_FROM_STATUS, &rss, &why), -ESRCH);
    assert_int_equal(cgroup_memory_read(real_root(), pid, cgroup, &why), -ESRCH);
    free(cgroup);
}

static void tells_kernel_threads(void **state)
{
    struct process_status status;

    /* in a pid namespace of its own there is none to be seen */
    if (status_read(real_root(), 2, &status, NULL) < 0 || strcmp(status.comm, "kthreadd") != 0)
        skip();
    assert_true(status.kernel_thread);
    expect(real_root(), 2, -ESRCH, "kernel thread");
}

static int look_at(void *context)
{
    pid_t pid = *(pid_t *)context;
    struct process_status status;

    for (size_t i = 0; i < READERS; i++) {
        struct why why = {""};

        if (readers[i](real_root(), pid, &why) != -EACCES || !strstr(why.text, "CAP_SYS_PTRACE"))
            return 10 + (int)i;
    }
    return status_read(real_root(), pid, &status, NULL) == 0 ? 0 : 1; /* open to all */
}

static void tells_missing_permission(void **state)
{
    pid_t pid = getpid();

    if (!is_root())
        skip();
    assert_int_equal(as_nobody(look_at, &pid), 0);
}

struct hidden {
    struct procfs procfs;
    pid_t pid;
};

static int look_for(void *context)
{
    struct hidden *hidden = context;
    struct process_status status;
    struct why why = {""};

    for (size_t i = 0; i < READERS; i++)
        if (readers[i](&hidden->procfs, hidden->pid, &why) != -EACCES ||
            !strstr(why.text, "hidepid"))
            return 10 + (int)i;
    if (status_read(&hidden->procfs, hidden->pid, &status, &why) != -EACCES)
        return 1;
    /* one that is not there at all */
    return readers[0](&hidden->procfs, 0x7ffffff0, &why) == -ESRCH ? 0 : 2;
}

/* In a mount namespace of its own, so that nothing is left behind. */
static int with_hidepid(const char *root, pid_t pid)
{
    struct hidden hidden = {.pid = pid};
    char proc[300];

    snprintf(proc, sizeof proc, "%s/proc", root);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", proc, "proc", 0, "hidepid=2") < 0)
        return 77;
    if (chmod(root, 0755) < 0 || procfs_open(&hidden.procfs, root, NULL) < 0)
        return 78;
    return as_nobody(look_for, &hidden);
}

static void tells_hidden_processes(void **state)
{
    struct tree tree;
    pid_t pid, parent = getpid();
    int status;

    if (!is_root()) {
        print_message("only root can mount\n");
        skip();
    }
    tree_make(&tree);
    tree_directory(&tree, "proc");
    pid = fork();
    if (pid == 0)
        _exit(with_hidepid(tree.root, parent));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    tree_remove(&tree);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("no right to mount here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void tells_a_file_this_kernel_lacks(void **state)
{
    struct tree tree;

    tree_make(&tree);
    tree_file(&tree, "proc/5/status", "Name:\tx\nState:\tS (sleeping)\nTgid:\t5\nVmRSS:\t4 kB\n");
    expect(&tree.procfs, 5, -ENOENT, "on this kernel");
    tree_remove(&tree);
}

/* Older kernels give an empty file instead of an error. */
static void takes_empty_files_for_gone_memory(void **state)
{
    static const char *const files[] = {"maps", "smaps", "smaps_rollup", "pagemap"};
    struct tree tree;
    char path[64];

    tree_make(&tree);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "proc/5/%s", files[i]);
        tree_file(&tree, path, "");
    }
    tree_file(&tree, "proc/5/status", "Name:\tx\nState:\tR (running)\nTgid:\t5\nKthread:\t0\n");
    expect(&tree.procfs, 5, -ESRCH, "exiting");
    tree_file(&tree, "proc/5/status", "Name:\tx\nState:\tZ (zombie)\nTgid:\t5\nThreads:\t3\n");
    expect(&tree.procfs, 5, -ESRCH, "main thread");
    tree_file(&tree, "proc/5/status", "Name:\tx\nState:\tS (sleeping)\nTgid:\t5\nKthread:\t1\n");
    expect(&tree.procfs, 5, -ESRCH, "kernel thread");
    tree_file(&tree, "proc/5/status", "nonsense");
    expect(&tree.procfs, 5, -ESRCH, "just ended");
    tree_remove(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_living),
        cmocka_unit_test(tells_zombies),
        cmocka_unit_test(tells_the_vanished),
        cmocka_unit_test(tells_kernel_threads),
        cmocka_unit_test(tells_missing_permission),
        cmocka_unit_test(tells_hidden_processes),
        cmocka_unit_test(tells_a_file_this_kernel_lacks),
        cmocka_unit_test(takes_empty_files_for_gone_memory),
    };

    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
