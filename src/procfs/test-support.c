#include "procfs/test-support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "procfs/status.h"

void tree_make(struct tree *tree)
{
    const char *directory = getenv("TMPDIR");

    snprintf(tree->root, sizeof tree->root, "%.200s/tree-XXXXXX", directory ? directory : "/tmp");
    assert_non_null(mkdtemp(tree->root));
    assert_int_equal(procfs_open(&tree->procfs, tree->root, NULL), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

void tree_remove(struct tree *tree)
{
    procfs_close(&tree->procfs);
    assert_int_equal(nftw(tree->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Makes the directories above `path` and writes the path below the tree's root to `ret`. */
static void prepare_path(struct tree *tree, const char *path, char ret[static PATH_MAX])
{
    assert_true(snprintf(ret, PATH_MAX, "%s/%s", tree->root, path) < PATH_MAX);
    for (char *slash = ret + strlen(tree->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(ret, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

void tree_bytes(struct tree *tree, const char *path, const void *bytes, size_t length)
{
    char full[PATH_MAX];
    int fd;

    prepare_path(tree, path, full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

void tree_file(struct tree *tree, const char *path, const char *text)
{
    tree_bytes(tree, path, text, strlen(text));
}

void tree_link(struct tree *tree, const char *path, const char *target)
{
    char full[PATH_MAX];

    prepare_path(tree, path, full);
    assert_int_equal(symlink(target, full), 0);
}

void tree_directory(struct tree *tree, const char *path)
{
    char full[PATH_MAX];

    prepare_path(tree, path, full);
    assert_int_equal(mkdir(full, 0755), 0);
}

/* The parent may have died before prctl took effect. */
static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static void victim_main(pid_t parent, int ready, int control, void (*prepare)(void *context),
                        void *context)
{
    char byte = 0;

    die_with(parent);
    if (prepare)
        prepare(context);
    if (write(ready, &byte, 1) != 1)
        _exit(1);
    close(ready);
    while (read(control, &byte, 1) > 0)
        continue;
    _exit(0);
}

/* Having told us, it still faults in the code that waits: only once it sleeps does it hold still.
 */
static void wait_until_asleep(pid_t pid)
{
    struct process_status status;

    for (int i = 0; i < 10000; i++) {
        assert_int_equal(status_read(real_root(), pid, &status, NULL), 0);
        if (status.state == 'S')
            return;
        clock_sleep_ns(NS_PER_MS);
    }
    fail_msg("the victim does not come to rest");
}

void victim_start(struct victim *victim, void (*prepare)(void *context), void *context)
{
    int ready[2], control[2];
    pid_t parent = getpid();
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(control, O_CLOEXEC), 0);
    victim->pid = fork();
    assert_true(victim->pid >= 0);
    if (victim->pid == 0) {
        close(ready[0]);
        close(control[1]);
        victim_main(parent, ready[1], control[0], prepare, context);
    }
    close(ready[1]);
    close(control[0]);
    victim->control = control[1];
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    wait_until_asleep(victim->pid);
}

void victim_kill(struct victim *victim)
{
    if (victim->pid <= 0)
        return;
    kill(victim->pid, SIGKILL);
    waitpid(victim->pid, NULL, 0);
    close(victim->control);
    victim->pid = 0;
}

int lock_pages(void *start, size_t length)
{
    return (int)syscall(SYS_mlock, start, length);
}

pid_t zombie_make(void)
{
    siginfo_t info;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

bool is_root(void)
{
    return geteuid() == 0;
}

int as_nobody(int (*check)(void *context), void *context)
{
    pid_t parent = getpid(), pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0)
            _exit(101);
        die_with(parent);
        _exit(check(context));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

const struct procfs *real_root(void)
{
    static struct procfs root = {-1};

    if (root.root_fd < 0)
        assert_int_equal(procfs_open(&root, "/", NULL), 0);
    return &root;
}

bool kernel_at_least(int major, int minor)
{
    struct utsname name;
    int has_major, has_minor;

    assert_int_equal(uname(&name), 0);
    assert_int_equal(sscanf(name.release, "%d.%d", &has_major, &has_minor), 2);
    return has_major > major || (has_major == major && has_minor >= minor);
}
