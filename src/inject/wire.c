#include "inject/wire.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "procfs/procfs.h"

static atomic_ulong count;

static pid_t program;

static __attribute__((constructor)) void remember_program(void)
{
    program = getpid();
}

/* Nothing of a process runs after it has killed itself: the signal is taken at the end of the
 * system call. */
static void die(void)
{
    const char *who = getenv("RESIDUE_TEST_DIE");

    if (!who || strcmp(who, "tracer") != 0)
        kill(program, SIGKILL);
    if (!who || strcmp(who, "program") != 0)
        kill(getpid(), SIGKILL);
}

static void count_one(void)
{
    const char *text = getenv("RESIDUE_TEST_DIE_AT");

    if (++count == (text ? strtoul(text, NULL, 10) : 0))
        die();
}

unsigned long wire_count(void)
{
    return count;
}

long wire_ask(int request, pid_t tid, const void *address, const void *data)
{
    long r;

    count_one();
    r = ptrace(request, tid, address, data);
    return r < 0 ? -errno : r;
}

int wire_ptrace(int request, pid_t tid, const void *address, const void *data)
{
    long r = wire_ask(request, tid, address, data);

    return r < 0 ? (int)r : 0;
}

int wire_get_registers(pid_t tid, struct user_regs_struct *ret)
{
    struct iovec registers = {ret, sizeof *ret};
    int r = wire_ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &registers);

    return r == 0 && registers.iov_len != sizeof *ret ? -EINVAL : r;
}

/*
 * The kernel takes them word by word (genregs_set), and a kill does not end that; but a page fault
 * in between might. So they lie in one page, which has just been written to.
 */
int wire_set_registers(pid_t tid, const struct user_regs_struct *registers)
{
    _Alignas(256) struct user_regs_struct copy = *registers;
    struct iovec vector = {&copy, sizeof copy};

    _Static_assert(sizeof copy <= 256, "registers must not cross a page");
    __asm__ volatile("" : : "r"(&copy) : "memory");
    return wire_ptrace(PTRACE_SETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &vector);
}

/* Where a seccomp filter forbids process_vm_writev. */
static int write_by_file(const struct target *target, remote_addr to, const void *from,
                         size_t length)
{
    char path[64];
    auto_close int fd = -1;
    ssize_t n;

    snprintf(path, sizeof path, "proc/%d/mem", (int)target->pid);
    fd = openat(target->procfs->root_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = pwrite(fd, from, length, (off_t)to);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EFAULT;
}

int wire_write(const struct target *target, remote_addr to, const void *from, size_t length)
{
    struct iovec here = {(void *)(uintptr_t)from, length};
    struct iovec there = {(void *)(uintptr_t)to, length};
    ssize_t n;

    count_one();
    n = process_vm_writev(target->pid, &here, 1, &there, 1, 0);
    if (n < 0)
        return errno == EPERM || errno == ENOSYS ? write_by_file(target, to, from, length) : -errno;
    return (size_t)n == length ? 0 : -EFAULT;
}
