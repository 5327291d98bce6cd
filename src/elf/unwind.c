#include "elf/unwind.h"

#include "elf/cfi.h"
#include "elf/expression.h"
#include "elf/plt.h"

_Static_assert(sizeof((struct unwind_registers){0}.value) / sizeof(uint64_t) == ARCH_REGISTERS,
               "one numbering");

enum { FRAMES_MAX = 4096 };

/* How a step went. */
enum { STEP_CALLER = 0, STEP_OUTERMOST = 1000 };

struct frame {
    struct unwind_registers registers;
    bool behind_call; /* its pc is a return address: the instruction that runs is the one before */
};

struct unwinder {
    struct elf_images *images;
    struct stack_reader stack;
    struct frame frame;
    struct why *why;
};

static bool is_known(const struct unwind_registers *registers, uint64_t number)
{
    return number < ARCH_REGISTERS && (registers->known & UINT32_C(1) << number);
}

static void set_register(struct unwind_registers *registers, unsigned number, uint64_t value)
{
    registers->value[number] = value;
    registers->known |= UINT32_C(1) << number;
}

static remote_addr frame_pc(const struct frame *frame)
{
    return frame->registers.value[ARCH_PROGRAM_COUNTER] - (frame->behind_call ? 1 : 0);
}

static int find_image(struct unwinder *u, remote_addr pc, struct elf_image **ret)
{
    struct elf_image *image = elf_images_find(u->images, pc);

    if (!image)
        return why_set(u->why, OUTCOME_NOT_FOUND,
                       "the code at 0x%llx belongs to no ELF image (made at run time?), so nothing "
                       "tells who called it",
                       (unsigned long long)pc);
    if (!image->elf)
        return why_set(u->why, OUTCOME_NOT_FOUND,
                       "the code at 0x%llx is in %s, which could not be opened: %s",
                       (unsigned long long)pc, image->path, image->open_failure);
    *ret = image;
    return 0;
}

/*
 * The canonical frame address. A caller's frame lies above its callee's: a frame that has been
 * called has at least its own return address there. Only the innermost may have taken that off the
 * stack (vfork does).
 */
static int find_cfa(struct unwinder *u, const struct cfi_rule *rule, bool signal_frame,
                    uint64_t *ret_cfa)
{
    const struct unwind_registers *registers = &u->frame.registers;
    struct expression_input input = {.registers = registers, .stack = &u->stack};
    uint64_t cfa = 0;

    if (rule->kind == CFI_VAL_EXPRESSION) {
        int r = expression_evaluate(rule->expression, &input, &cfa, u->why);
        if (r != 0)
            return r;
    } else if (is_known(registers, rule->number)) {
        cfa = registers->value[rule->number] + (uint64_t)rule->offset;
    } else {
        return why_set(u->why, OUTCOME_LAYOUT_UNKNOWN,
                       "the frame at 0x%llx is found by register %llu, which is lost",
                       (unsigned long long)frame_pc(&u->frame), (unsigned long long)rule->number);
    }
    uint64_t least =
        registers->value[ARCH_STACK_POINTER] + (u->frame.behind_call ? sizeof(uint64_t) : 0);
    if (!signal_frame && (!is_known(registers, ARCH_STACK_POINTER) || cfa < least))
        return why_set(u->why, OUTCOME_TORN, "the frame of 0x%llx lies below the one it called",
                       (unsigned long long)frame_pc(&u->frame));
    *ret_cfa = cfa;
    return 0;
}

/* A register of which the function says nothing: preserved by convention, or clobbered. */
static void keep_by_convention(const struct unwind_registers *now, unsigned number, uint64_t cfa,
                               bool signal_frame, struct unwind_registers *caller)
{
    if (number == ARCH_STACK_POINTER)
        set_register(caller, number, cfa);
    else if ((ARCH_CALLEE_SAVED & UINT32_C(1) << number) && !signal_frame && is_known(now, number))
        set_register(caller, number, now->value[number]);
}

static int keep(const struct unwind_registers *now, uint64_t from, unsigned number,
                struct unwind_registers *caller)
{
    if (is_known(now, from))
        set_register(caller, number, now->value[from]);
    return 0;
}

static int load(struct unwinder *u, remote_addr address, unsigned number,
                struct unwind_registers *caller)
{
    uint64_t value;
    int r = stack_read(&u->stack, address, sizeof value, &value, u->why);

    if (r == 0)
        set_register(caller, number, value);
    return r;
}

static int recover(struct unwinder *u, const struct cfi_rule *rule, unsigned number, uint64_t cfa,
                   bool signal_frame, struct unwind_registers *caller)
{
    const struct unwind_registers *now = &u->frame.registers;
    struct expression_input input = {
        .registers = now, .stack = &u->stack, .has_cfa = true, .cfa = cfa};
    uint64_t value = 0;
    int r = 0;

    if (rule->kind == CFI_EXPRESSION || rule->kind == CFI_VAL_EXPRESSION)
        r = expression_evaluate(rule->expression, &input, &value, u->why);
    if (r != 0)
        return r;
    switch (rule->kind) {
    case CFI_UNSPECIFIED:
        keep_by_convention(now, number, cfa, signal_frame, caller);
        return 0;
    case CFI_UNDEFINED:
        return 0;
    case CFI_SAME_VALUE:
        return keep(now, number, number, caller);
    case CFI_REGISTER:
        return keep(now, rule->number, number, caller);
    case CFI_OFFSET:
        return load(u, cfa + (uint64_t)rule->offset, number, caller);
    case CFI_VAL_OFFSET:
        set_register(caller, number, cfa + (uint64_t)rule->offset);
        return 0;
    case CFI_EXPRESSION:
        return load(u, value, number, caller);
    case CFI_VAL_EXPRESSION:
        set_register(caller, number, value);
        return 0;
    }
    return 0;
}

/* Replaces the frame by its caller's. */
static int apply(struct unwinder *u, const struct cfi_row *row, bool signal_frame)
{
    const struct cfi_rule *back = &row->registers[ARCH_PROGRAM_COUNTER];
    struct unwind_registers caller = {0};
    uint64_t cfa = 0;

    if (back->kind == CFI_UNDEFINED)
        return STEP_OUTERMOST;
    if (back->kind == CFI_UNSPECIFIED || back->kind == CFI_SAME_VALUE)
        return why_set(u->why, OUTCOME_LAYOUT_UNKNOWN,
                       "nothing tells where the function at 0x%llx returns to",
                       (unsigned long long)frame_pc(&u->frame));
    int r = find_cfa(u, &row->cfa, signal_frame, &cfa);
    for (unsigned i = 0; r == 0 && i < ARCH_REGISTERS; i++)
        r = recover(u, &row->registers[i], i, cfa, signal_frame, &caller);
    if (r != 0)
        return r;
    if (!is_known(&caller, ARCH_PROGRAM_COUNTER))
        return why_set(u->why, OUTCOME_LAYOUT_UNKNOWN,
                       "the return address of the function at 0x%llx is lost",
                       (unsigned long long)frame_pc(&u->frame));
    u->frame = (struct frame){.registers = caller, .behind_call = !signal_frame};
    return STEP_CALLER;
}

/* By the function's call frame information; or it is a stub, which is never a caller. */
static int step_in(struct unwinder *u, struct elf_image *image, uint64_t address)
{
    struct cfi_entry entry;
    struct cfi_row row;
    int r = cfi_find(image, address, &entry, u->why);

    if (r == OUTCOME_NOT_FOUND && !u->frame.behind_call && plt_row_at(image, address, &row))
        return apply(u, &row, false);
    if (r != 0)
        return r;
    r = cfi_row_at(&entry, address, &row, u->why);
    if (r == 0)
        r = apply(u, &row, entry.signal_frame);
    cfi_entry_release(&entry);
    return r;
}

static int step(struct unwinder *u)
{
    struct elf_image *image = NULL;
    remote_addr pc = frame_pc(&u->frame);
    int r = find_image(u, pc, &image);

    return r != 0 ? r : step_in(u, image, pc - image->bias);
}

enum unwind_end unwind(struct elf_images *images, struct memory *memory,
                       struct unwind_registers start, int (*each)(void *context, remote_addr pc),
                       void *context, struct why *why)
{
    struct unwinder u = {
        .images = images, .stack = {.memory = memory}, .frame = {.registers = start}, .why = why};

    if (!is_known(&start, ARCH_PROGRAM_COUNTER)) {
        why_set(why, 0, "the thread's registers are not known");
        return UNWIND_INCOMPLETE;
    }
    for (unsigned frames = 0; frames < FRAMES_MAX; frames++) {
        if (each(context, frame_pc(&u.frame)) != 0)
            return UNWIND_STOPPED;
        int r = step(&u);
        if (r == STEP_OUTERMOST)
            return UNWIND_COMPLETE;
        if (r != STEP_CALLER)
            return UNWIND_INCOMPLETE;
    }
    why_set(why, 0, "the stack has more than %d frames", FRAMES_MAX);
    return UNWIND_INCOMPLETE;
}
