/* What is written to syslog, read from a socket that stands for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "inject/journal.h"

static char root[] = "/tmp/residue-test-XXXXXX", directory[60], path[70];
static struct procfs fake;
static int listener;
static struct why why;

static int setup(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    if (!mkdtemp(root))
        return -1;
    snprintf(directory, sizeof directory, "%s/dev", root);
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return mkdir(directory, 0755) || bind(listener, (struct sockaddr *)&address, sizeof address) ||
           procfs_open(&fake, root, &why);
}

static int teardown(void **state)
{
    procfs_close(&fake);
    close(listener);
    unlink(path);
    rmdir(directory);
    return rmdir(root);
}

static void each_call_is_one_line(void **state)
{
    struct target target = {.procfs = &fake, .pid = 42};
    struct remote_call calls[] = {{.number = SYS_madvise, .arguments = {0x7f0000001000, 0x2000, 4}},
                                  {.number = 999}};
    char line[1000] = "", tag[40];

    memcpy(target.status.comm, "a\nb", 4);
    journal_call(&target, &calls[0]);
    journal_call(&target, &calls[1]);
    assert_true(recv(listener, line, sizeof line - 1, 0) > 0);
    assert_memory_equal(line, "<85>", 4);
    snprintf(tag, sizeof tag, " residue[%d]: ", (int)getpid());
    assert_non_null(strstr(line, tag));
    assert_non_null(
        strstr(line, "has process 42 (a?b) call madvise(0x7f0000001000, 0x2000, 0x4, "));
    memset(line, 0, sizeof line);
    assert_true(recv(listener, line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "call system call 999(0x0, "));
    assert_true(recv(listener, line, sizeof line, 0) < 0);
}

/* It would never end otherwise: the socket takes some hundred. */
static void nobody_is_waited_for(void **state)
{
    for (int i = 0; i < 20000; i++)
        journal_write(&fake, "line %d", i);
    unlink(path);
    journal_write(&fake, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_waited_for, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
