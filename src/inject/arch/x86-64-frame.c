/*
 * Signal frames of x86-64: struct rt_sigframe (arch/x86/include/asm/sigframe.h) is a return
 * address, a ucontext and a siginfo. rt_sigreturn takes the ucontext from the stack pointer
 * (do_rt_sigreturn: the frame begins 8 bytes below it, where the return address was), and reads of
 * it what is set here; the siginfo it does not read.
 */
#include <string.h>
#include <sys/syscall.h>

#include "inject/arch.h"

/* asm/ucontext.h, which glibc's headers clash with. */
enum {
    UC_FP_XSTATE = 1,
    UC_SIGCONTEXT_SS = 2,
    UC_STRICT_RESTORE_SS = 4,
};

struct altstack {
    uint64_t sp;
    uint32_t flags, padding;
    uint64_t size;
};

/* glibc's headers give these names to other structures; the layout is the kernel's and does not
 * change. */
struct context {
    uint64_t flags, link;
    struct altstack stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
        eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
    uint64_t mask;
};

_Static_assert(sizeof(struct context) == 304, "struct ucontext of Linux on x86-64");

/*
 * A frame, and above it the word that the call made by the frame returns by: `ret` takes it, and
 * the stack pointer is then at the next context.
 */
struct unit {
    struct context context;
    uint64_t after_call;
};

/*
 * No signal stack has such flags, so that rt_sigreturn leaves the thread's as it is: what
 * do_sigaltstack answers is ignored, but for EFAULT (restore_altstack, since 2.6.x).
 */
enum { KEEP_ALTSTACK = 0x40 };

static const uint64_t all_signals = ~UINT64_C(0);

bool arch_lay_out(remote_addr top, size_t state_size, size_t data_size, size_t count,
                  struct arch_layout *ret)
{
    size_t frames = (count + 1) * sizeof(struct unit);

    if (top < state_size + data_size + frames + 256)
        return false;
    ret->end = align_down(top, 64);
    ret->state = align_down(ret->end - state_size, 64);
    ret->data = align_down(ret->state - data_size, 64);
    ret->frames = align_down(ret->data - frames, 16);
    ret->start = ret->frames;
    return true;
}

static void take_registers(struct context *context, const struct user_regs_struct *from)
{
    *context = (struct context){
        .r8 = from->r8,
        .r9 = from->r9,
        .r10 = from->r10,
        .r11 = from->r11,
        .r12 = from->r12,
        .r13 = from->r13,
        .r14 = from->r14,
        .r15 = from->r15,
        .rdi = from->rdi,
        .rsi = from->rsi,
        .rbp = from->rbp,
        .rbx = from->rbx,
        .rdx = from->rdx,
        .rax = from->rax,
        .rcx = from->rcx,
        .rsp = from->rsp,
        .rip = from->rip,
        .eflags = from->eflags,
        .cs = (uint16_t)from->cs,
        .ss = (uint16_t)from->ss,
        .flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        .stack.flags = KEEP_ALTSTACK,
    };
}

static void frame_call(struct unit *unit, remote_addr at, const struct arch_code *code,
                       const struct arch_home *home, const struct arch_call *call)
{
    struct context *context = &unit->context;

    take_registers(context, &home->folded);
    context->rip = code->call;
    context->rsp = at + offsetof(struct unit, after_call);
    context->rax = (uint64_t)call->number;
    context->rdi = call->arguments[0];
    context->rsi = call->arguments[1];
    context->rdx = call->arguments[2];
    context->r10 = call->arguments[3];
    context->r8 = call->arguments[4];
    context->r9 = call->arguments[5];
    context->mask = all_signals;
    unit->after_call = code->sigreturn;
}

void arch_build(uint8_t *image, const struct arch_layout *layout, const struct arch_code *code,
                const struct arch_home *home, const struct arch_call *calls, size_t count)
{
    struct unit *units = (struct unit *)(void *)(image + (layout->frames - layout->start));

    for (size_t i = 0; i < count; i++)
        frame_call(&units[i], layout->frames + i * sizeof *units, code, home, &calls[i]);
    memset(&units[count], 0, sizeof *units);
    take_registers(&units[count].context, &home->folded);
    units[count].context.fpstate = layout->state;
    units[count].context.mask = home->mask;
    memcpy(image + (layout->state - layout->start), home->state, home->state_size);
}

/* orig_rax -1: no system call is to begin again. */
struct user_regs_struct arch_entry(const struct arch_layout *layout, const struct arch_code *code,
                                   const struct arch_home *home)
{
    struct user_regs_struct registers = home->folded;

    registers.rip = code->call;
    registers.rsp = layout->frames;
    registers.rax = SYS_rt_sigreturn;
    registers.orig_rax = ~0ULL;
    return registers;
}

struct arch_call arch_sigreturn(const struct user_regs_struct *registers)
{
    return (struct arch_call){.number = SYS_rt_sigreturn,
                              .arguments = {registers->rdi, registers->rsi, registers->rdx,
                                            registers->r10, registers->r8, registers->r9}};
}

struct user_regs_struct arch_entry_at(const struct arch_layout *layout,
                                      const struct arch_code *code, const struct arch_home *home,
                                      const struct arch_call *calls, size_t index)
{
    struct user_regs_struct registers = arch_entry(layout, code, home);

    registers.rsp += index * sizeof(struct unit) + offsetof(struct unit, after_call);
    registers.rax = (unsigned long long)calls[index].number;
    registers.rdi = calls[index].arguments[0];
    registers.rsi = calls[index].arguments[1];
    registers.rdx = calls[index].arguments[2];
    registers.r10 = calls[index].arguments[3];
    registers.r8 = calls[index].arguments[4];
    registers.r9 = calls[index].arguments[5];
    return registers;
}
