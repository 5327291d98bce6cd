/* Running an entry's instructions up to an address. */
#include <dwarf.h>
#include <string.h>

#include "elf/cfi.h"

enum { REMEMBERED_MAX = 16 };

struct machine {
    const struct cfi_entry *entry;
    struct cfi_row row, initial;
    bool has_initial; /* the CIE's instructions are done */
    bool failed;
    uint64_t location, wanted;
    struct bytes program;
    size_t remembered_count;
    struct cfi_row remembered[REMEMBERED_MAX];
};

/* Vector registers and the like have rules too, and play no part here. */
static void set_rule(struct machine *m, uint64_t number, struct cfi_rule rule)
{
    if (number < ARCH_REGISTERS)
        m->row.registers[number] = rule;
}

static int64_t scaled(const struct machine *m, uint64_t factor)
{
    return (int64_t)(factor * (uint64_t)m->entry->data_align);
}

static void set_offset(struct machine *m, enum cfi_rule_kind kind, uint64_t number, int64_t offset)
{
    set_rule(m, number, (struct cfi_rule){.kind = kind, .offset = offset});
}

static void set_expression(struct machine *m, enum cfi_rule_kind kind)
{
    uint64_t number = bytes_uleb128(&m->program), length = bytes_uleb128(&m->program);

    set_rule(m, number,
             (struct cfi_rule){.kind = kind, .expression = bytes_take(&m->program, length)});
}

static void set_cfa(struct machine *m, uint64_t number, int64_t offset)
{
    m->row.cfa = (struct cfi_rule){.kind = CFI_REGISTER, .number = number, .offset = offset};
}

static void restore(struct machine *m, uint64_t number)
{
    if (!m->has_initial)
        m->failed = true;
    else if (number < ARCH_REGISTERS)
        m->row.registers[number] = m->initial.registers[number];
}

static void advance(struct machine *m, uint64_t steps)
{
    m->location += steps * m->entry->code_align;
    m->failed |= !m->has_initial;
}

static void remember_row(struct machine *m)
{
    if (m->remembered_count == REMEMBERED_MAX)
        m->failed = true;
    else
        m->remembered[m->remembered_count++] = m->row;
}

static void restore_row(struct machine *m)
{
    if (m->remembered_count == 0)
        m->failed = true;
    else
        m->row = m->remembered[--m->remembered_count];
}

/* Changes of one half of "register + offset" need that form. */
static void change_cfa(struct machine *m, uint8_t code)
{
    m->failed |= m->row.cfa.kind != CFI_REGISTER;
    switch (code) {
    case DW_CFA_def_cfa_register:
        m->row.cfa.number = bytes_uleb128(&m->program);
        break;
    case DW_CFA_def_cfa_offset:
        m->row.cfa.offset = (int64_t)bytes_uleb128(&m->program);
        break;
    case DW_CFA_def_cfa_offset_sf:
        m->row.cfa.offset = scaled(m, (uint64_t)bytes_sleb128(&m->program));
        break;
    }
}

static bool run_cfa(struct machine *m, uint8_t code)
{
    uint64_t number;

    switch (code) {
    case DW_CFA_def_cfa:
        number = bytes_uleb128(&m->program);
        set_cfa(m, number, (int64_t)bytes_uleb128(&m->program));
        return true;
    case DW_CFA_def_cfa_sf:
        number = bytes_uleb128(&m->program);
        set_cfa(m, number, scaled(m, (uint64_t)bytes_sleb128(&m->program)));
        return true;
    case DW_CFA_def_cfa_register:
    case DW_CFA_def_cfa_offset:
    case DW_CFA_def_cfa_offset_sf:
        change_cfa(m, code);
        return true;
    case DW_CFA_def_cfa_expression:
        number = bytes_uleb128(&m->program);
        m->row.cfa = (struct cfi_rule){.kind = CFI_VAL_EXPRESSION,
                                       .expression = bytes_take(&m->program, number)};
        return true;
    }
    return false;
}

static bool run_location(struct machine *m, uint8_t code)
{
    switch (code) {
    case DW_CFA_nop:
        return true;
    case DW_CFA_advance_loc1:
        advance(m, bytes_unsigned(&m->program, 1));
        return true;
    case DW_CFA_advance_loc2:
        advance(m, bytes_unsigned(&m->program, 2));
        return true;
    case DW_CFA_advance_loc4:
        advance(m, bytes_unsigned(&m->program, 4));
        return true;
    case DW_CFA_set_loc:
        m->location = bytes_pointer(&m->program, m->entry->pointer_encoding, 0);
        m->failed |= !m->has_initial;
        return true;
    case DW_CFA_remember_state:
        remember_row(m);
        return true;
    case DW_CFA_restore_state:
        restore_row(m);
        return true;
    case DW_CFA_GNU_args_size:
        bytes_uleb128(&m->program);
        return true;
    }
    return false;
}

/* Rules that hold an offset from the CFA; the operand is unsigned, signed or (an old GNU form)
 * negated. */
static bool run_offset(struct machine *m, uint8_t code)
{
    bool is_value = code == DW_CFA_val_offset || code == DW_CFA_val_offset_sf;
    bool is_signed = code == DW_CFA_offset_extended_sf || code == DW_CFA_val_offset_sf;
    bool is_negated = code == DW_CFA_GNU_negative_offset_extended;

    if (!is_value && !is_signed && !is_negated && code != DW_CFA_offset_extended)
        return false;
    uint64_t number = bytes_uleb128(&m->program);
    uint64_t factor = is_signed ? (uint64_t)bytes_sleb128(&m->program) : bytes_uleb128(&m->program);
    set_offset(m, is_value ? CFI_VAL_OFFSET : CFI_OFFSET, number,
               scaled(m, is_negated ? 0 - factor : factor));
    return true;
}

static bool run_register(struct machine *m, uint8_t code)
{
    uint64_t number;

    switch (code) {
    case DW_CFA_undefined:
        set_offset(m, CFI_UNDEFINED, bytes_uleb128(&m->program), 0);
        return true;
    case DW_CFA_same_value:
        set_offset(m, CFI_SAME_VALUE, bytes_uleb128(&m->program), 0);
        return true;
    case DW_CFA_register:
        number = bytes_uleb128(&m->program);
        set_rule(m, number,
                 (struct cfi_rule){.kind = CFI_REGISTER, .number = bytes_uleb128(&m->program)});
        return true;
    case DW_CFA_restore_extended:
        restore(m, bytes_uleb128(&m->program));
        return true;
    case DW_CFA_expression:
        set_expression(m, CFI_EXPRESSION);
        return true;
    case DW_CFA_val_expression:
        set_expression(m, CFI_VAL_EXPRESSION);
        return true;
    }
    return false;
}

/* The three instructions that carry an operand in their low six bits. */
static bool run_packed(struct machine *m, uint8_t code)
{
    uint8_t operand = code & 0x3f;

    switch (code & 0xc0) {
    case DW_CFA_advance_loc:
        advance(m, operand);
        return true;
    case DW_CFA_offset:
        set_offset(m, CFI_OFFSET, operand, scaled(m, bytes_uleb128(&m->program)));
        return true;
    case DW_CFA_restore:
        restore(m, operand);
        return true;
    }
    return false;
}

/* Stops before the row that the first instruction beyond `wanted` begins. */
static bool run(struct machine *m, struct bytes program)
{
    m->program = program;
    while (bytes_left(&m->program) > 0) {
        uint8_t code = (uint8_t)bytes_unsigned(&m->program, 1);

        if (!run_packed(m, code) && !run_location(m, code) && !run_cfa(m, code) &&
            !run_offset(m, code) && !run_register(m, code))
            m->failed = true;
        if (m->failed || m->program.failed)
            return false;
        if (m->has_initial && m->location > m->wanted)
            break;
    }
    return true;
}

int cfi_row_at(const struct cfi_entry *entry, uint64_t address, struct cfi_row *ret,
               struct why *why)
{
    struct machine m; /* the rows that it remembers stay unset: they are most of it */

    memset(&m, 0, offsetof(struct machine, remembered));
    m.entry = entry;
    m.location = entry->start;
    m.wanted = address;
    bool ok = run(&m, entry->initial);

    m.initial = m.row;
    m.has_initial = true;
    if (!ok || !run(&m, entry->program) || m.row.cfa.kind == CFI_UNSPECIFIED)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "the call frame information of the function at 0x%llx cannot be understood",
                       (unsigned long long)entry->start);
    *ret = m.row;
    return 0;
}
