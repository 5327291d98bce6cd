/* Our reading of call frame information against libdw's, row by row, over whole libraries. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf/cfi.h"
#include "elf/file.h"
#include "elf/test-file.h"
#include "test-victims.h"

enum { RBX = 3 };

struct both {
    struct elf_image image;
    Elf *elf;
    Dwarf_CFI *theirs;
    int fd;
    unsigned rows, expressions;
};

static void open_both(struct both *both, const char *path)
{
    *both = (struct both){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct why why = {{0}};

    if (elf_image_attach(&both->image, open(path, O_RDONLY | O_CLOEXEC), &why) != 0)
        fail_msg("%s: %s", path, why.text);
    elf_image_place(&both->image, 0);
    both->elf = elf_begin(both->fd, ELF_C_READ, NULL);
    both->theirs = dwarf_getcfi_elf(both->elf);
    assert_non_null(both->theirs);
}

static void close_both(struct both *both)
{
    elf_image_release(&both->image);
    dwarf_cfi_end(both->theirs);
    elf_end(both->elf);
    close(both->fd);
}

/* Our rule in libdw's terms. */
static void compare_register(struct both *both, const struct cfi_rule *rule, Dwarf_Frame *frame,
                             unsigned number)
{
    Dwarf_Op memory[3], *ops;
    size_t count;

    assert_int_equal(dwarf_frame_register(frame, (int)number, memory, &ops, &count), 0);
    bool plain = count > 0 && ops == memory && ops[0].atom == DW_OP_call_frame_cfa;
    int64_t offset =
        plain && count > 1 && ops[1].atom == DW_OP_plus_uconst ? (int64_t)ops[1].number : 0;
    bool is_value = count > 0 && ops[count - 1].atom == DW_OP_stack_value;

    switch (rule->kind) {
    case CFI_UNSPECIFIED: /* libdw has filled in its ABI's rules, and mistakes rax for rbx there */
        if (number == ARCH_STACK_POINTER)
            assert_true(plain && is_value && offset == 0);
        else if (number != 0 && number != RBX && number != ARCH_PROGRAM_COUNTER)
            assert_true(count == 0 && (ops == NULL) == (ARCH_CALLEE_SAVED >> number & 1));
        break;
    case CFI_UNDEFINED:
        assert_true(count == 0 && ops != NULL);
        break;
    case CFI_SAME_VALUE:
        assert_true(count == 0 && ops == NULL);
        break;
    case CFI_OFFSET:
    case CFI_VAL_OFFSET:
        assert_true(plain && is_value == (rule->kind == CFI_VAL_OFFSET));
        assert_int_equal(offset, rule->offset);
        break;
    case CFI_REGISTER:
        assert_true(count == 1 && ops[0].atom == DW_OP_regx && ops[0].number == rule->number);
        break;
    case CFI_EXPRESSION:
    case CFI_VAL_EXPRESSION:
        assert_true(count > 0 && ops != memory && is_value == (rule->kind == CFI_VAL_EXPRESSION));
        both->expressions++;
        break;
    }
}

static void compare_row(struct both *both, const struct cfi_row *row, Dwarf_Frame *frame)
{
    Dwarf_Op *ops;
    size_t count;

    assert_int_equal(dwarf_frame_cfa(frame, &ops, &count), 0);
    assert_true(count > 0);
    if (row->cfa.kind == CFI_REGISTER) {
        assert_true(count == 1 && ops[0].atom == DW_OP_bregx && ops[0].number == row->cfa.number);
        assert_true((int64_t)ops[0].number2 == row->cfa.offset);
    } else {
        assert_int_equal(row->cfa.kind, CFI_VAL_EXPRESSION);
        assert_true(ops[0].atom != DW_OP_bregx);
        both->expressions++;
    }
    for (unsigned i = 0; i < ARCH_REGISTERS; i++)
        compare_register(both, &row->registers[i], frame, i);
    both->rows++;
}

/* Returns the next address to compare at. */
static uint64_t compare_at(struct both *both, uint64_t address)
{
    Dwarf_Frame *frame = NULL;
    Dwarf_Addr start, end;
    struct cfi_entry entry;
    struct cfi_row row;
    bool signal_frame;
    bool theirs = dwarf_cfi_addrframe(both->theirs, address, &frame) == 0;
    bool ours = cfi_find(&both->image, address, &entry, NULL) == 0;

    if (ours != theirs)
        fail_msg("0x%lx: we have %s entry, libdw %s", address, ours ? "an" : "no",
                 theirs ? "one" : "none");
    if (!ours)
        return address + 1;
    dwarf_frame_info(frame, &start, &end, &signal_frame);
    assert_true(start >= entry.start && end <= entry.end && signal_frame == entry.signal_frame);
    assert_int_equal(cfi_row_at(&entry, address, &row, NULL), 0);
    compare_row(both, &row, frame);
    cfi_entry_release(&entry);
    free(frame);
    return end;
}

static void compare_file(const char *path, unsigned least_rows, unsigned least_expressions)
{
    struct both both;

    open_both(&both, path);
    for (size_t i = 0; i < both.image.segment_count; i++) {
        struct range code = both.image.segments[i].memory;
        if (both.image.segments[i].executable)
            for (uint64_t at = code.start; at < code.end;)
                at = compare_at(&both, at);
    }
    print_message("# %s: %u rows, %u expressions\n", path, both.rows, both.expressions);
    assert_true(both.rows >= least_rows && both.expressions >= least_expressions);
    close_both(&both);
}

static void test_rows_of_libc(void **state)
{
    compare_file(test_libc_path(), 10000, 18); /* its signal frame has 18 expressions */
}

static void test_rows_of_programs(void **state)
{
    compare_file(VICTIM, 50, 1); /* its PLT has one */
    compare_file(VICTIM_STATIC, 4000, 18);
    compare_file("/proc/self/exe", 100, 0);
}

/* The same answers without the linker's search table. */
static void test_without_search_table(void **state)
{
    struct test_file file;
    struct elf_image with, without;

    test_file_load(&file, test_libc_path());
    test_file_open(&file, &with);
    assert_true(test_file_hide_header(&file, PT_GNU_EH_FRAME));
    test_file_open(&file, &without);
    for (size_t i = 0; i < with.segment_count; i++) {
        struct range code = with.segments[i].memory;
        for (uint64_t at = code.start; with.segments[i].executable && at < code.end; at += 61) {
            struct range one = {0}, other = {0};
            int r = elf_function_at(&with, at, &one);
            assert_int_equal(r, elf_function_at(&without, at, &other));
            assert_memory_equal(&one, &other, sizeof one);
        }
    }
    elf_image_release(&with);
    elf_image_release(&without);
    free(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_libc),
        cmocka_unit_test(test_rows_of_programs),
        cmocka_unit_test(test_without_search_table),
    };
    return cmocka_run_group_tests_name("elf call frame information", tests, NULL, NULL);
}
