/*
 * DWARF expressions, as far as call frame information uses them (DWARF 5, 2.5): PLT stubs, signal frames,
 * realigned stacks and hand-written code. An operation that is not known is an error, never skipped.
 */
#pragma once

#include "elf/bytes.h"
#include "elf/stack.h"
#include "elf/unwind.h"

struct expression_input {
    const struct unwind_registers *registers;
    struct stack_reader *stack;
    bool has_cfa;
    uint64_t cfa;
};

/*
 * The value on top of the stack at the end; `cfa` is pushed first where it is known (DWARF 5, 6.4.2).
 * 0; OUTCOME_LAYOUT_UNKNOWN; OUTCOME_UNREADABLE; negative errno.
 */
int expression_evaluate(struct bytes code, const struct expression_input *input, uint64_t *ret_value,
                        struct why *why) must_check;
