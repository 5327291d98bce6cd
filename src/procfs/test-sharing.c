#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs/sharing.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

/* An order that has nothing to do with ids: ids that are equal modulo 7 share, and 5 cannot be
 * told. */
static int by_seven(pid_t a, pid_t b)
{
    int x = a * 3 % 7, y = b * 3 % 7;

    if (a == 50 || b == 50)
        return -EPERM;
    return x < y ? 1 : x > y ? 2 : 0;
}

static void the_first_of_each_memory(void **state)
{
    static const pid_t pids[] = {1, 2, 3, 8, 9, 10, 15, 20, 21, 28, 35, 36};
    static const pid_t expected[] = {1, 2, 3, 1, 2, 3, 1, 20, 21, 21, 21, 1};
    pid_t same[12];

    assert_int_equal(processes_sharing(pids, 12, by_seven, same), 0);
    assert_memory_equal(same, expected, sizeof expected);
    assert_int_equal(processes_sharing(pids, 0, by_seven, same), 0);
    assert_int_equal(processes_sharing(pids, 1, by_seven, same), 0);
    assert_int_equal(same[0], 1);
}

/* What cannot be told is not told to be the same, whatever it does to the order. */
static void what_cannot_be_told(void **state)
{
    static const pid_t pids[] = {1, 8, 50, 57};
    pid_t same[4];

    assert_int_equal(processes_sharing(pids, 4, by_seven, same), 0);
    assert_int_equal(same[2], 50);
    for (int i = 0; i < 4; i++)
        assert_int_equal(same[i] % 7, pids[i] % 7);
}

static int sleeper(void *context)
{
    pause();
    return 0;
}

static void real_processes(void **state)
{
    static char stack[64 << 10] __attribute__((aligned(16)));
    pid_t pids[3] = {getpid()}, same[3];
    struct victim victim;

    if (kernel_compare_memory(getpid(), getpid()) != 0)
        skip(); /* a kernel without kcmp, or a filter that refuses it */
    pids[1] = clone(sleeper, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    assert_true(pids[1] > 0);
    victim_start(&victim, NULL, NULL); /* a fork: the same at first, and memory of its own */
    pids[2] = victim.pid;
    if (pids[0] < pids[1] && pids[1] < pids[2]) {
        assert_int_equal(processes_sharing(pids, 3, kernel_compare_memory, same), 0);
        assert_int_equal(same[1], pids[0]);
        assert_int_equal(same[2], pids[2]);
    }
    assert_int_equal(kernel_compare_memory(pids[0], pids[1]), 0);
    assert_int_not_equal(kernel_compare_memory(pids[0], pids[2]), 0);
    victim_kill(&victim);
    kill(pids[1], SIGKILL);
    assert_int_equal(waitpid(pids[1], NULL, 0), pids[1]);
    assert_true(kernel_compare_memory(getpid(), pids[1]) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_each_memory),
        cmocka_unit_test(what_cannot_be_told),
        cmocka_unit_test(real_processes),
    };

    return cmocka_run_group_tests_name("sharing", tests, NULL, NULL);
}
