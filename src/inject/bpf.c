#include "inject/bpf.h"

#include <errno.h>
#include <string.h>

struct machine {
    const struct sock_filter *program;
    size_t count, at; /* `at`: the next instruction */
    const struct seccomp_data *data;
    uint32_t a, x, memory[BPF_MEMWORDS];
};

bool bpf_lets_pass(uint32_t value)
{
    uint32_t action = value & SECCOMP_RET_ACTION_FULL;

    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

static bool load(const struct machine *machine, const struct sock_filter *op, uint32_t *ret)
{
    switch (op->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        if (op->k % 4 || op->k > sizeof *machine->data - 4)
            return false;
        memcpy(ret, (const char *)machine->data + op->k, sizeof *ret);
        return true;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
        *ret = sizeof *machine->data;
        return true;
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
        *ret = op->k;
        return true;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
        if (op->k >= BPF_MEMWORDS)
            return false;
        *ret = machine->memory[op->k];
        return true;
    default:
        return false;
    }
}

static bool calculate(uint32_t *a, unsigned operation, uint32_t by)
{
    switch (operation) {
    case BPF_ADD:
        *a += by;
        return true;
    case BPF_SUB:
        *a -= by;
        return true;
    case BPF_MUL:
        *a *= by;
        return true;
    case BPF_AND:
        *a &= by;
        return true;
    case BPF_OR:
        *a |= by;
        return true;
    case BPF_XOR:
        *a ^= by;
        return true;
    case BPF_LSH:
        *a <<= by & 31;
        return true; /* as the kernel's interpreter masks it */
    case BPF_RSH:
        *a >>= by & 31;
        return true;
    case BPF_NEG:
        *a = -*a;
        return true;
    case BPF_DIV: /* by 0 the kernel's answer is 0, which allows nothing either */
        if (by)
            *a /= by;
        return by != 0;
    default:
        return false;
    }
}

static bool holds(uint32_t a, unsigned condition, uint32_t than)
{
    switch (condition) {
    case BPF_JEQ:
        return a == than;
    case BPF_JGT:
        return a > than;
    case BPF_JGE:
        return a >= than;
    default:
        return (a & than) != 0; /* BPF_JSET */
    }
}

static bool jump(struct machine *machine, const struct sock_filter *op)
{
    uint32_t than = BPF_SRC(op->code) == BPF_X ? machine->x : op->k;

    switch (BPF_OP(op->code)) {
    case BPF_JA:
        if (op->k > machine->count)
            return false;
        machine->at += op->k;
        return true;
    case BPF_JEQ:
    case BPF_JGT:
    case BPF_JGE:
    case BPF_JSET:
        machine->at += holds(machine->a, BPF_OP(op->code), than) ? op->jt : op->jf;
        return true;
    default:
        return false;
    }
}

/* What is neither a jump nor the end. */
static bool work(struct machine *machine, const struct sock_filter *op)
{
    switch (BPF_CLASS(op->code)) {
    case BPF_LD:
        return load(machine, op, &machine->a);
    case BPF_LDX:
        return load(machine, op, &machine->x);
    case BPF_ST:
    case BPF_STX:
        if (op->k >= BPF_MEMWORDS)
            return false;
        machine->memory[op->k] = BPF_CLASS(op->code) == BPF_ST ? machine->a : machine->x;
        return true;
    case BPF_ALU:
        return calculate(&machine->a, BPF_OP(op->code),
                         BPF_SRC(op->code) == BPF_X ? machine->x : op->k);
    case BPF_MISC:
        *(BPF_MISCOP(op->code) == BPF_TAX ? &machine->x : &machine->a) =
            BPF_MISCOP(op->code) == BPF_TAX ? machine->a : machine->x;
        return true;
    default:
        return false;
    }
}

/* Jumps lead forward only, so that it ends. */
int bpf_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data,
            uint32_t *ret_value)
{
    struct machine machine = {.program = program, .count = count, .data = data};

    if (count > BPF_INSTRUCTIONS_MOST)
        return -EINVAL;
    while (machine.at < count) {
        const struct sock_filter *op = &program[machine.at++];

        if (BPF_CLASS(op->code) == BPF_RET) {
            *ret_value = BPF_RVAL(op->code) == BPF_A ? machine.a : op->k;
            return 0;
        }
        if (!(BPF_CLASS(op->code) == BPF_JMP ? jump(&machine, op) : work(&machine, op)))
            return -EINVAL;
    }
    return -EINVAL;
}
