/* Filters are run here as the kernel runs them: random ones are installed, and both are asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>

#include "inject/bpf.h"

enum { UNUSED_NUMBER = 900, PROGRAMS = 400, LENGTH = 30, ANSWER = 0xfff, KILLED = -1 };

static struct sock_filter program[200];
static size_t length;
static struct seccomp_data data = {.nr = UNUSED_NUMBER, .arch = AUDIT_ARCH_X86_64};
static uint64_t state = 0x9e3779b97f4a7c15ULL;

static uint32_t number(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static void put(unsigned code, uint8_t jt, uint8_t jf, uint32_t k)
{
    program[length++] = (struct sock_filter){(uint16_t)code, jt, jf, k};
}

/* Of nr, arch and the arguments; the program counter is not known beforehand. */
static uint32_t any_word(void)
{
    return number(2) ? 16 + 4 * number(12) : 4 * number(2);
}

static void put_calculation(void)
{
    static const unsigned operations[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND,
                                          BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH};
    unsigned operation = operations[number(9)];
    bool shift = operation == BPF_LSH || operation == BPF_RSH;

    if (number(8) == 0)
        put(BPF_ALU | BPF_NEG, 0, 0, 0);
    else if (number(2))
        put(BPF_ALU | operation | BPF_X, 0, 0, 0);
    else
        put(BPF_ALU | operation | BPF_K, 0, 0, shift ? number(32) : 1 + number(100000));
}

/* `left`: as many instructions follow at least. */
static void put_jump(uint32_t left)
{
    static const unsigned conditions[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};

    if (number(6) == 0)
        put(BPF_JMP | BPF_JA, 0, 0, number(left));
    else
        put(BPF_JMP | conditions[number(4)] | (number(2) ? BPF_X : BPF_K), (uint8_t)number(left),
            (uint8_t)number(left), number(2) ? number(1000) : (uint32_t)state);
}

static void put_any(uint32_t left)
{
    switch (number(9)) {
    case 0:
        put(BPF_LD | BPF_W | BPF_ABS, 0, 0, any_word());
        break;
    case 1:
        put((number(2) ? BPF_LD : BPF_LDX) | BPF_IMM, 0, 0, (uint32_t)state);
        break;
    case 2:
        put((number(2) ? BPF_LD : BPF_LDX) | BPF_MEM, 0, 0, number(BPF_MEMWORDS));
        break;
    case 3:
        put(number(2) ? BPF_ST : BPF_STX, 0, 0, number(BPF_MEMWORDS));
        break;
    case 4:
        put(BPF_MISC | (number(2) ? BPF_TAX : BPF_TXA), 0, 0, 0);
        break;
    case 5:
        put((number(2) ? BPF_LD : BPF_LDX) | BPF_W | BPF_LEN, 0, 0, 0);
        break;
    case 6:
        put_jump(left);
        break;
    default:
        put_calculation();
    }
}

/* Answers what it has calculated, as an errno, to one call only. */
static void make_program(void)
{
    length = 0;
    put(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0);
    put(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, UNUSED_NUMBER);
    put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    for (uint32_t i = 0; i < BPF_MEMWORDS; i++)
        put(BPF_ST, 0, 0, i);
    for (uint32_t i = 0; i < LENGTH; i++)
        put_any(LENGTH - i);
    put(BPF_ALU | BPF_AND | BPF_K, 0, 0, ANSWER);
    put(BPF_ALU | BPF_OR | BPF_K, 0, 0, SECCOMP_RET_ERRNO);
    put(BPF_RET | BPF_A, 0, 0, 0);
    for (int i = 0; i < 6; i++)
        data.args[i] = number(3) ? state * 3 : number(1000);
}

static void ask_in_child(int answer)
{
    struct sock_fprog filter = {(unsigned short)length, program};
    int result = KILLED;

    prctl(PR_SET_DUMPABLE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        _exit(2);
    errno = 0;
    syscall(UNUSED_NUMBER, data.args[0], data.args[1], data.args[2], data.args[3], data.args[4],
            data.args[5]);
    result = errno;
    _exit(write(answer, &result, sizeof result) != sizeof result);
}

static int ask_kernel(void)
{
    int ends[2], status, result = KILLED;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0)
        ask_in_child(ends[1]);
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGSYS);
    else
        assert_int_equal(read(ends[0], &result, sizeof result), sizeof result);
    close(ends[0]);
    return result;
}

static void answers_are_the_kernels(void **unused)
{
    unsigned killed = 0;

    for (int i = 0; i < PROGRAMS; i++) {
        uint32_t value;
        int expected, r;

        make_program();
        r = bpf_run(program, length, &data, &value);
        expected = ask_kernel();
        killed += expected == KILLED;
        if (expected == KILLED) /* divided by 0 */
            assert_int_equal(r, -EINVAL);
        else if (r || value != ((uint32_t)expected | SECCOMP_RET_ERRNO))
            fail_msg("program %d: %d, 0x%x, and the kernel %d", i, r, value, expected);
    }
    assert_true(killed < PROGRAMS / 2);
}

static void what_is_no_filter_is_refused(void **unused)
{
    static const struct sock_filter wrong[][2] = {
        {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 62}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 64}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_LD | BPF_W | BPF_IND, 0, 0, 0}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_LD | BPF_MEM, 0, 0, 16}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_ST, 0, 0, 16}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_JMP | BPF_JEQ, 255, 255, 0}, {BPF_RET | BPF_A, 0, 0, 0}},
        {{BPF_LD | BPF_IMM, 0, 0, 0}, {BPF_LD | BPF_IMM, 0, 0, 0}},
    };
    uint32_t value;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(bpf_run(wrong[i], 2, &data, &value), -EINVAL);
    assert_int_equal(bpf_run(wrong[0], 0, &data, &value), -EINVAL);
}

static void only_allowing_answers_let_pass(void **unused)
{
    assert_true(bpf_lets_pass(SECCOMP_RET_ALLOW));
    assert_true(bpf_lets_pass(SECCOMP_RET_LOG));
    assert_false(bpf_lets_pass(SECCOMP_RET_ERRNO));
    assert_false(bpf_lets_pass(SECCOMP_RET_TRACE));
    assert_false(bpf_lets_pass(SECCOMP_RET_TRAP));
    assert_false(bpf_lets_pass(SECCOMP_RET_USER_NOTIF));
    assert_false(bpf_lets_pass(SECCOMP_RET_KILL_THREAD));
    assert_false(bpf_lets_pass(SECCOMP_RET_KILL_PROCESS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_kernels),
        cmocka_unit_test(what_is_no_filter_is_refused),
        cmocka_unit_test(only_allowing_answers_let_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
