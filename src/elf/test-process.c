#include "elf/test-process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void become(const char *path, const char *const *arguments, int input, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    execv(path, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void read_announcement(struct victim *victim)
{
    char line[512], *at = line, *end;
    size_t length = 0;

    while (length < sizeof line - 1 && read(victim->output, line + length, 1) == 1 &&
           line[length] != '\n')
        length++;
    line[length] = '\0';
    for (uint64_t value; victim->named_count < NAMED_MAX && (value = strtoull(at, &end, 16)) != 0;
         at = end)
        victim->named[victim->named_count++] = value;
    assert_true(victim->named_count > 0);
}

void victim_start(struct victim *victim, const char *path, const char *const *arguments,
                  bool announces)
{
    int input[2], output[2];

    *victim = (struct victim){0};
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    victim->pid = fork();
    assert_true(victim->pid >= 0);
    if (victim->pid == 0)
        become(path, arguments, input[0], output[1]);
    close(input[0]);
    close(output[1]);
    victim->input = input[1];
    victim->output = output[0];
    if (announces)
        read_announcement(victim);
}

void victim_open(struct victim *victim)
{
    struct why why = {{0}};

    assert_int_equal(procfs_open(&victim->procfs, "/", &why), 0);
    assert_int_equal(maps_read(&victim->procfs, victim->pid, &victim->maps, &why), 0);
    assert_int_equal(live_memory_open(&victim->memory, &victim->procfs, victim->pid, &why), 0);
    if (elf_images_open(&victim->procfs, victim->pid, &victim->maps, &victim->memory.memory,
                        &victim->images, &why))
        fail_msg("%s", why.text);
}

void victim_end(struct victim *victim)
{
    if (victim->pid > 0) {
        kill(victim->pid, SIGKILL);
        pid_t ended; /* its traced threads come before it */
        while ((ended = waitpid(-1, NULL, __WALL)) > 0 && ended != victim->pid)
            continue;
    }
    close(victim->input);
    close(victim->output);
    if (victim->maps.items) {
        elf_images_close(&victim->images);
        live_memory_close(&victim->memory);
        maps_free(&victim->maps);
        procfs_close(&victim->procfs);
    }
}

void thread_seize(pid_t tid)
{
    assert_int_equal(ptrace(PTRACE_SEIZE, tid, NULL, NULL), 0);
}

/* Signals that come first are passed on. */
void thread_stop(pid_t tid)
{
    int status;

    assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
    for (;;) {
        assert_int_equal(waitpid(tid, &status, __WALL), tid);
        assert_true(WIFSTOPPED(status));
        if (status >> 16 == PTRACE_EVENT_STOP)
            return;
        assert_int_equal(ptrace(PTRACE_CONT, tid, NULL, WSTOPSIG(status)), 0);
    }
}

void thread_resume(pid_t tid)
{
    assert_int_equal(ptrace(PTRACE_CONT, tid, NULL, NULL), 0);
}

static struct unwind_registers read_registers(pid_t tid)
{
    struct user_regs_struct r;

    assert_int_equal(ptrace(PTRACE_GETREGS, tid, NULL, &r), 0);
    return (struct unwind_registers){.value = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp,
                                               r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14,
                                               r.r15, r.rip},
                                     .known = 0x1ffff};
}

static int collect(void *context, remote_addr pc)
{
    struct chain *chain = context;

    chain->pc[chain->count++] = pc;
    return 0;
}

void thread_chain(struct victim *victim, pid_t tid, struct chain *ret)
{
    ret->count = 0;
    ret->why = (struct why){{0}};
    ret->end = unwind(&victim->images, &victim->memory.memory, read_registers(tid), collect, ret,
                      &ret->why);
}

bool chain_has(struct victim *victim, const struct chain *chain, remote_addr function)
{
    struct elf_image *image = elf_images_find(&victim->images, function);
    struct range range;

    assert_non_null(image);
    assert_int_equal(elf_function_at(image, function, &range), 0);
    assert_true(range.start == function);
    for (size_t i = 0; i < chain->count; i++)
        if (range_has(range, chain->pc[i]))
            return true;
    return false;
}

unsigned test_random(unsigned below)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state = state * 6364136223846793005 + 1442695040888963407;
    return (unsigned)(state >> 33) % below;
}
