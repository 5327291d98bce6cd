/*
 * What becomes of a system call that the stop interrupted (arch/x86/kernel/signal.c,
 * arch_do_signal_or_restart). With no handler to run, the kernel sets rax and rip so that it is
 * made again: with the same number, or, where only the kernel knows what is left to wait for, as
 * restart_syscall, which rt_sigreturn makes fail (restore_sigcontext: restart_block.fn =
 * do_no_restart_syscall).
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "inject/arch.h"

#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum {
    ERESTARTSYS = 512, /* include/linux/errno.h */
    ERESTARTNOINTR = 513,
    ERESTARTNOHAND = 514,
    ERESTART_RESTARTBLOCK = 516,
    SYSCALL_BYTES = 2,
    CODE_64_BIT = 0x33, /* __USER_CS */
    TRAP_FLAG = 1 << 8,
};

/*
 * Whether restarting means the same as calling again: poll without a limit (do_restart_poll), and
 * waits until a point in time (futex_wait_restart keeps the time it was given; only FUTEX_WAIT
 * counts from now).
 */
static bool may_call_again(const struct user_regs_struct *registers)
{
    switch (registers->orig_rax) {
    case SYS_poll:
        return (int)registers->rdx < 0;
    case SYS_futex:
        return ((int)registers->rsi & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    case SYS_futex_wait:
        return true;
    default:
        return false;
    }
}

static bool has_own_mask(const struct user_regs_struct *registers)
{
    switch (registers->orig_rax) {
    case SYS_rt_sigsuspend:
    case SYS_pselect6:
    case SYS_ppoll:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_io_pgetevents:
        return true;
    default:
        return false;
    }
}

/*
 * How much time is left is in the kernel's restart block, which any rt_sigreturn forgets. Only if
 * the chain must end without us, it waits for the whole time once more; of a call that was
 * restarted before the number is not known, and it returns EINTR.
 */
static bool keep_time(const struct user_regs_struct *registers, struct arch_home *home)
{
    home->keeps_time = home->restarts = true;
    switch (registers->orig_rax) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_poll:
    case SYS_futex:
        home->folded.rax = registers->orig_rax;
        home->folded.rip -= SYSCALL_BYTES;
        return true;
    case SYS_restart_syscall:
        home->folded.rax = (unsigned long long)-EINTR;
        return true;
    default:
        return false;
    }
}

static int find_restart(const struct user_regs_struct *registers, struct arch_home *home,
                        struct why *why)
{
    if (!home->in_call)
        return 0;
    switch (-(long long)registers->rax) {
    case ERESTART_RESTARTBLOCK:
        if (!may_call_again(registers))
            return keep_time(registers, home)
                       ? 0
                       : why_set(why, OUTCOME_NOT_POSSIBLE,
                                 "waits in a way that is not known here (system call %llu)",
                                 registers->orig_rax);
        home->registers.rax = (unsigned long long)-(long long)ERESTARTNOHAND;
        home->restarts = true;
        break;
    case ERESTARTNOHAND:
    case ERESTARTSYS:
        home->restarts = true;
        break;
    case ERESTARTNOINTR:
        break;
    default:
        return 0;
    }
    home->own_mask = has_own_mask(registers);
    home->folded.rax = registers->orig_rax;
    home->folded.rip -= SYSCALL_BYTES;
    return 0;
}

int arch_find_home(const struct user_regs_struct *registers, struct arch_home *ret, struct why *why)
{
    struct arch_home home = {.registers = *registers,
                             .folded = *registers,
                             .pc = registers->rip,
                             .in_call = (long long)registers->orig_rax >= 0};
    int r;

    if (registers->cs != CODE_64_BIT)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "runs 32-bit code");
    if (registers->eflags & TRAP_FLAG)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "is single-stepping itself");
    r = find_restart(registers, &home, why);
    if (r)
        return r;
    home.folded.orig_rax = ~0ULL;
    *ret = home;
    return 0;
}
