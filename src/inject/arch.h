/* What it takes to borrow a thread, by machine architecture: arch/. */
#pragma once

#include <sys/user.h>

#include "base/error.h"
#include "base/range.h"
#include "mem/memory.h"

/* Instructions that the process has mapped, which are executed as they stand. */
struct arch_code {
    remote_addr call;      /* makes a system call, and returns */
    remote_addr after_call; /* where the program counter is after it: what a seccomp filter sees */
    remote_addr sigreturn; /* makes the system call rt_sigreturn; libc's restorer */
    remote_addr after_sigreturn;
};

enum {
    ARCH_SIGRETURN = 15,    /* the number of rt_sigreturn */
    ARCH_RED_ZONE = 128,    /* below the stack pointer, and in use (System V psABI 3.2.2) */
};

/* Looks for what `code` does not have yet in `length` bytes from `address`. True when it has both. */
bool arch_find_code(struct arch_code *code, remote_addr address, const uint8_t *bytes, size_t length);

/* How a thread is to be left. */
struct arch_home {
    struct user_regs_struct registers; /* what the tracer gives back: the kernel begins an interrupted call again */
    struct user_regs_struct folded;    /* the same for rt_sigreturn, which makes no call begin again: it has begun */
    remote_addr pc;                    /* where it was when it was stopped */
    bool in_call;                      /* in a system call, or right behind one */
    bool restarts;                     /* a call begins again, for which a handled signal in between makes a difference; see inject.h */
    bool keeps_time;                   /* it waits, and the kernel knows how long: no rt_sigreturn may be made, see run.c */
    bool own_mask;                     /* the call that begins again has a signal mask of its own while it waits */
    uint64_t mask;                     /* of blocked signals */
    uint8_t *state;                    /* vector registers and the like, in the form that rt_sigreturn takes */
    size_t state_size;
};

/*
 * From a stopped thread's registers. 0; OUTCOME_NOT_POSSIBLE: it cannot be borrowed; `why` then is a clause
 * with the thread as its subject ("sleeps in ...").
 */
int arch_find_home(const struct user_regs_struct *registers, struct arch_home *ret, struct why *why) must_check;

/*
 * `state` of `length` bytes, as NT_X86_XSTATE gives it: makes it what rt_sigreturn takes. Its new length, at most
 * `length` + 64, for which there must be room; 0: it cannot be.
 */
size_t arch_prepare_state(uint8_t *state, size_t length);

/* A system call to be made, or a place for it in the chain. */
struct arch_call {
    long number;
    uint64_t arguments[6];
};

/* Bytes that a chain of `count` calls takes, its state and data included; to be written below `top`. */
struct arch_layout {
    remote_addr start, end;  /* [start, end) */
    remote_addr state, data; /* 64-byte aligned */
    remote_addr frames;
};

/* `top`: the lowest byte in use. False when the address space does not hold it. */
bool arch_lay_out(remote_addr top, size_t state_size, size_t data_size, size_t count, struct arch_layout *ret);

/* Writes the frames for layout->frames into `image`, which stands for layout->start. */
void arch_build(uint8_t *image, const struct arch_layout *layout, const struct arch_code *code,
                const struct arch_home *home, const struct arch_call *calls, size_t count);

/* Those by which it makes call number `index` of the chain at once, and is then where the chain would be. */
struct user_regs_struct arch_entry_at(const struct arch_layout *layout, const struct arch_code *code,
                                      const struct arch_home *home, const struct arch_call *calls, size_t index);

/* rt_sigreturn, with the arguments that a thread with these registers makes it. */
struct arch_call arch_sigreturn(const struct user_regs_struct *registers);

/* At a system-call stop: the number of the call, and at its end what it returned. */
static inline long arch_number(const struct user_regs_struct *registers)
{
    return (long)registers->orig_rax;
}

static inline int64_t arch_result(const struct user_regs_struct *registers)
{
    return (int64_t)registers->rax;
}

/* The registers by which a thread enters the chain. */
struct user_regs_struct arch_entry(const struct arch_layout *layout, const struct arch_code *code,
                                   const struct arch_home *home);
