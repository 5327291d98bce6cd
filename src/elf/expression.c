#include "elf/expression.h"

#include <dwarf.h>

#include "elf/arch/x86_64.h"

enum { STACK_MAX = 32, STEPS_MAX = 4096 };

struct evaluation {
    const struct expression_input *input;
    struct bytes code;
    uint64_t stack[STACK_MAX];
    size_t depth;
    int error; /* the first; nothing that follows counts */
    struct why *why;
};

static void fail(struct evaluation *e, const char *text, unsigned value)
{
    if (e->error == 0)
        e->error = why_set(e->why, OUTCOME_LAYOUT_UNKNOWN, "the call frame information %s (%u)",
                           text, value);
}

static void push(struct evaluation *e, uint64_t value)
{
    if (e->depth == STACK_MAX)
        fail(e, "uses too deep a stack", STACK_MAX);
    else
        e->stack[e->depth++] = value;
}

/* The entry `below` the top. */
static uint64_t peek(struct evaluation *e, uint64_t below)
{
    if (below < e->depth)
        return e->stack[e->depth - 1 - below];
    fail(e, "takes from an empty stack", (unsigned)e->depth);
    return 0;
}

static uint64_t pop(struct evaluation *e)
{
    uint64_t value = peek(e, 0);

    if (e->depth > 0)
        e->depth--;
    return value;
}

static void push_register(struct evaluation *e, uint64_t number, int64_t offset)
{
    if (number >= ARCH_REGISTERS || !(e->input->registers->known & UINT32_C(1) << number))
        fail(e, "needs a register whose value is lost", (unsigned)number);
    else
        push(e, e->input->registers->value[number] + (uint64_t)offset);
}

static bool run_constant(struct evaluation *e, uint8_t code)
{
    if (code >= DW_OP_lit0 && code <= DW_OP_lit31) {
        push(e, code - DW_OP_lit0);
        return true;
    }
    switch (code) {
    case DW_OP_const1u:
    case DW_OP_const2u:
    case DW_OP_const4u:
    case DW_OP_const8u:
        push(e, bytes_unsigned(&e->code, 1U << ((code - DW_OP_const1u) / 2)));
        return true;
    case DW_OP_const1s:
    case DW_OP_const2s:
    case DW_OP_const4s:
    case DW_OP_const8s:
        push(e, (uint64_t)bytes_signed(&e->code, 1U << ((code - DW_OP_const1s) / 2)));
        return true;
    case DW_OP_constu:
        push(e, bytes_uleb128(&e->code));
        return true;
    case DW_OP_consts:
        push(e, (uint64_t)bytes_sleb128(&e->code));
        return true;
    }
    return false;
}

static bool run_register(struct evaluation *e, uint8_t code)
{
    uint64_t number;

    if (code >= DW_OP_breg0 && code <= DW_OP_breg31) {
        push_register(e, code - DW_OP_breg0, bytes_sleb128(&e->code));
        return true;
    }
    switch (code) {
    case DW_OP_bregx:
        number = bytes_uleb128(&e->code);
        push_register(e, number, bytes_sleb128(&e->code));
        return true;
    case DW_OP_call_frame_cfa:
        if (e->input->has_cfa)
            push(e, e->input->cfa);
        else
            fail(e, "defines the frame by itself", code);
        return true;
    }
    return false;
}

static void dereference(struct evaluation *e, uint64_t size)
{
    remote_addr address = pop(e);
    uint64_t value = 0;

    if (e->error == 0)
        e->error = stack_read(e->input->stack, address, (size_t)size, &value, e->why);
    push(e, value);
}

static void rotate(struct evaluation *e)
{
    uint64_t first = pop(e), second = pop(e), third = pop(e);

    push(e, first);
    push(e, third);
    push(e, second);
}

static bool run_stack(struct evaluation *e, uint8_t code)
{
    uint64_t first, second;

    switch (code) {
    case DW_OP_deref:
        dereference(e, 8);
        return true;
    case DW_OP_deref_size:
        dereference(e, bytes_unsigned(&e->code, 1));
        return true;
    case DW_OP_dup:
        push(e, peek(e, 0));
        return true;
    case DW_OP_over:
        push(e, peek(e, 1));
        return true;
    case DW_OP_pick:
        push(e, peek(e, bytes_unsigned(&e->code, 1)));
        return true;
    case DW_OP_drop:
        pop(e);
        return true;
    case DW_OP_swap:
        first = pop(e);
        second = pop(e);
        push(e, first);
        push(e, second);
        return true;
    case DW_OP_rot:
        rotate(e);
        return true;
    }
    return false;
}

static bool run_unary(struct evaluation *e, uint8_t code)
{
    switch (code) {
    case DW_OP_nop:
        return true;
    case DW_OP_neg:
        push(e, 0 - pop(e));
        return true;
    case DW_OP_not:
        push(e, ~pop(e));
        return true;
    case DW_OP_plus_uconst:
        push(e, pop(e) + bytes_uleb128(&e->code));
        return true;
    }
    return false;
}

/* Comparisons are signed (DWARF 5, 2.5.1.5); shifts by 64 and more leave nothing but the sign. */
static bool binary(uint8_t code, uint64_t left, uint64_t right, uint64_t *ret)
{
    int64_t signed_left = (int64_t)left, signed_right = (int64_t)right;

    switch (code) {
    case DW_OP_and:
        *ret = left & right;
        return true;
    case DW_OP_or:
        *ret = left | right;
        return true;
    case DW_OP_xor:
        *ret = left ^ right;
        return true;
    case DW_OP_plus:
        *ret = left + right;
        return true;
    case DW_OP_minus:
        *ret = left - right;
        return true;
    case DW_OP_mul:
        *ret = left * right;
        return true;
    case DW_OP_shl:
        *ret = right < 64 ? left << right : 0;
        return true;
    case DW_OP_shr:
        *ret = right < 64 ? left >> right : 0;
        return true;
    case DW_OP_shra:
        *ret = (uint64_t)(signed_left >> (right < 64 ? right : 63));
        return true;
    case DW_OP_eq:
        *ret = left == right;
        return true;
    case DW_OP_ne:
        *ret = left != right;
        return true;
    case DW_OP_lt:
        *ret = signed_left < signed_right;
        return true;
    case DW_OP_le:
        *ret = signed_left <= signed_right;
        return true;
    case DW_OP_gt:
        *ret = signed_left > signed_right;
        return true;
    case DW_OP_ge:
        *ret = signed_left >= signed_right;
        return true;
    }
    return false;
}

static bool run_binary(struct evaluation *e, uint8_t code)
{
    uint64_t result;

    if (!binary(code, 0, 0, &result)) /* is it one at all? */
        return false;
    uint64_t right = pop(e), left = pop(e);
    binary(code, left, right, &result);
    push(e, result);
    return true;
}

static bool run_branch(struct evaluation *e, uint8_t code)
{
    if (code != DW_OP_skip && code != DW_OP_bra)
        return false;
    int64_t distance = bytes_signed(&e->code, 2);
    if (code == DW_OP_bra && pop(e) == 0)
        return true;
    if (distance < e->code.start - e->code.at || distance > e->code.end - e->code.at)
        fail(e, "branches out of itself", code);
    else
        e->code.at += distance;
    return true;
}

static void run(struct evaluation *e)
{
    unsigned steps = 0;

    while (bytes_left(&e->code) > 0 && e->error == 0) {
        uint8_t code = (uint8_t)bytes_unsigned(&e->code, 1);

        if (!run_constant(e, code) && !run_register(e, code) && !run_stack(e, code) &&
            !run_unary(e, code) && !run_binary(e, code) && !run_branch(e, code))
            fail(e, "uses an operation that is not known here", code);
        if (e->code.failed)
            fail(e, "ends within an operation", code);
        if (++steps > STEPS_MAX)
            fail(e, "does not come to an end", STEPS_MAX);
    }
}

int expression_evaluate(struct bytes code, const struct expression_input *input,
                        uint64_t *ret_value, struct why *why)
{
    struct evaluation e = {.input = input, .code = code, .why = why};

    if (input->has_cfa)
        push(&e, input->cfa);
    run(&e);
    uint64_t value = pop(&e);
    if (e.error != 0)
        return e.error;
    *ret_value = value;
    return 0;
}
