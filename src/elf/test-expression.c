/* DWARF's encodings and expressions, from bytes written by hand. */
#include <dwarf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "elf/expression.h"
#include "mem/fake.h"

static struct bytes of(const uint8_t *code, size_t length)
{
    return bytes_of(code, length, 0x1000);
}

#define CODE(...) of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct unwind_registers registers = {
    .value = {[3] = 300, [7] = 0x7f0000001000, [16] = 0x40102b},
    .known = 1 << 3 | 1 << 7 | 1 << 16};
static struct why why;

static int evaluate_with(struct bytes code, bool has_cfa, uint64_t *ret)
{
    static uint64_t words[2 * PAGE_BYTES / 8];
    static struct fake_extent extent = {
        .start = 0x7f0000000000, .pages = 2, .bytes = (uint8_t *)words};
    static struct fake_memory fake;
    struct stack_reader stack = {.memory = &fake.memory};
    struct expression_input input = {
        .registers = &registers, .stack = &stack, .has_cfa = has_cfa, .cfa = 5000};

    fake_memory_init(&fake, &extent, 1);
    words[PAGE_BYTES / 8] = 0x1122334455667788;
    words[PAGE_BYTES / 8 - 1] = 42;
    why = (struct why){{0}};
    return expression_evaluate(code, &input, ret, &why);
}

static void expect(struct bytes code, uint64_t wanted)
{
    uint64_t value = ~wanted;

    if (evaluate_with(code, false, &value) != 0)
        fail_msg("%s", why.text);
    assert_int_equal(value, wanted);
}

static void refuse(struct bytes code, const char *because)
{
    uint64_t value = 7;

    assert_true(evaluate_with(code, false, &value) > 0);
    assert_int_equal(value, 7);
    if (!strstr(why.text, because))
        fail_msg("\"%s\" does not tell of \"%s\"", why.text, because);
}

static void test_constants(void **state)
{
    expect(CODE(DW_OP_lit0 + 31), 31);
    expect(CODE(DW_OP_const1u, 0xff), 0xff);
    expect(CODE(DW_OP_const1s, 0xff), UINT64_MAX);
    expect(CODE(DW_OP_const2u, 0x34, 0x12), 0x1234);
    expect(CODE(DW_OP_const2s, 0xfe, 0xff), UINT64_MAX - 1);
    expect(CODE(DW_OP_const4u, 1, 2, 3, 0x84), 0x84030201);
    expect(CODE(DW_OP_const4s, 1, 2, 3, 0x84), 0xffffffff84030201);
    expect(CODE(DW_OP_const8u, 1, 2, 3, 4, 5, 6, 7, 0x88), 0x8807060504030201);
    expect(CODE(DW_OP_constu, 0xe5, 0x8e, 0x26), 624485);
    expect(CODE(DW_OP_consts, 0x9b, 0xf1, 0x59), (uint64_t)-624485);
}

static void test_arithmetic(void **state)
{
    expect(CODE(DW_OP_lit0 + 6, DW_OP_lit0 + 7, DW_OP_mul), 42);
    expect(CODE(DW_OP_lit0 + 6, DW_OP_lit0 + 7, DW_OP_minus), UINT64_MAX);
    expect(CODE(DW_OP_lit0 + 6, DW_OP_lit0 + 3, DW_OP_xor), 5);
    expect(CODE(DW_OP_lit0 + 6, DW_OP_neg), (uint64_t)-6);
    expect(CODE(DW_OP_lit0 + 6, DW_OP_not), ~UINT64_C(6));
    expect(CODE(DW_OP_lit0 + 6, DW_OP_plus_uconst, 0x80, 0x01), 134);
    expect(CODE(DW_OP_const1s, 0xf0, DW_OP_lit0 + 2, DW_OP_shra), (uint64_t)-4);
    expect(CODE(DW_OP_lit0 + 1, DW_OP_const1u, 64, DW_OP_shl), 0);
    expect(CODE(DW_OP_const1s, 0xf0, DW_OP_const1u, 200, DW_OP_shra), UINT64_MAX);
    expect(CODE(DW_OP_const1s, 0xff, DW_OP_lit0, DW_OP_lt), 1); /* signed */
    expect(CODE(DW_OP_lit0 + 1, DW_OP_lit0 + 2, DW_OP_lit0 + 3, DW_OP_rot, DW_OP_drop), 1);
    expect(CODE(DW_OP_lit0 + 1, DW_OP_lit0 + 2, DW_OP_swap), 1);
    expect(CODE(DW_OP_lit0 + 1, DW_OP_lit0 + 2, DW_OP_over), 1);
    expect(CODE(DW_OP_lit0 + 1, DW_OP_lit0 + 2, DW_OP_pick, 1), 1);
}

static void test_branches(void **state)
{
    expect(CODE(DW_OP_lit0 + 5, DW_OP_skip, 1, 0, DW_OP_drop), 5);
    expect(CODE(DW_OP_lit0 + 5, DW_OP_lit0 + 1, DW_OP_bra, 1, 0, DW_OP_drop), 5);
    expect(CODE(DW_OP_lit0 + 5, DW_OP_lit0 + 6, DW_OP_lit0, DW_OP_bra, 1, 0, DW_OP_drop), 5);
    refuse(CODE(DW_OP_skip, 0xfd, 0xff), "come to an end");
    refuse(CODE(DW_OP_skip, 0xfc, 0xff), "branches out");
    refuse(CODE(DW_OP_skip, 1, 0), "branches out");
}

/* The expression that GNU ld writes for a lazy PLT: 8 more once the stub has pushed, from byte 11
 * of 16 on. */
static void test_the_plt(void **state)
{
    struct bytes plt = CODE(DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit0 + 15, DW_OP_and,
                            DW_OP_lit0 + 11, DW_OP_ge, DW_OP_lit0 + 3, DW_OP_shl, DW_OP_plus);

    registers.value[16] = 0x40102b;
    expect(plt, 0x7f0000001010);
    registers.value[16] = 0x401026;
    expect(plt, 0x7f0000001008);
}

static void test_memory_and_registers(void **state)
{
    uint64_t value;

    expect(CODE(DW_OP_breg7, 0, DW_OP_deref), 0x1122334455667788);
    expect(CODE(DW_OP_breg7, 0, DW_OP_deref_size, 2), 0x7788);
    expect(CODE(DW_OP_breg7, 0x78, DW_OP_deref), 42); /* rsp - 8, in the page before */
    expect(CODE(DW_OP_breg7, 0x7c, DW_OP_deref), UINT64_C(0x5566778800000000)); /* across both */
    expect(CODE(DW_OP_bregx, 3, 0x7f), 299);
    assert_int_equal(evaluate_with(CODE(DW_OP_lit0 + 1, DW_OP_plus), true, &value), 0);
    assert_int_equal(value, 5001);
    assert_int_equal(evaluate_with(CODE(DW_OP_drop, DW_OP_call_frame_cfa), true, &value), 0);
    assert_int_equal(value, 5000);
    refuse(CODE(DW_OP_breg0, 0), "lost");
    refuse(CODE(DW_OP_bregx, 40, 0), "lost");
    refuse(CODE(DW_OP_lit0, DW_OP_deref), "no address");
    refuse(CODE(DW_OP_breg7, 0x80, 0x80, 0xff, 0x00, DW_OP_deref), "not in memory");
    refuse(CODE(DW_OP_call_frame_cfa), "by itself");
}

static void test_refusals(void **state)
{
    refuse(CODE(DW_OP_plus), "empty stack");
    refuse(CODE(DW_OP_lit0, DW_OP_drop), "empty stack");
    refuse(CODE(DW_OP_nop), "empty stack");
    refuse(CODE(DW_OP_addr, 0, 0, 0, 0, 0, 0, 0, 0), "not known");
    refuse(CODE(DW_OP_reg0), "not known");
    refuse(CODE(DW_OP_const4u, 1, 2), "ends within");
    refuse(CODE(DW_OP_constu, 0x80), "ends within");
    refuse(CODE(DW_OP_lit0, DW_OP_dup, DW_OP_skip, 0xfc, 0xff), "too deep");
}

static void test_bytes(void **state)
{
    struct bytes bytes =
        CODE(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2);

    assert_int_equal(bytes_sleb128(&bytes), -1);
    assert_int_equal(bytes_left(&bytes), 2);
    struct bytes part = bytes_take(&bytes, 1);
    assert_int_equal(part.address, 0x100b);
    assert_int_equal(bytes_unsigned(&part, 1), 1);
    assert_int_equal(bytes_unsigned(&bytes, 2), 0);
    assert_true(bytes.failed);
    bytes = CODE(0xfc, 0xff, 0xff, 0xff);
    assert_int_equal(bytes_pointer(&bytes, DW_EH_PE_pcrel | DW_EH_PE_sdata4, 0), 0xffc);
    bytes = CODE(4, 0);
    assert_int_equal(bytes_pointer(&bytes, DW_EH_PE_datarel | DW_EH_PE_udata2, 0x2000), 0x2004);
    bytes = CODE(4, 0, 0, 0, 0, 0, 0, 0);
    bytes_pointer(&bytes, DW_EH_PE_indirect | DW_EH_PE_absptr, 0);
    assert_true(bytes.failed);
    bytes = CODE(4);
    bytes_skip(&bytes, UINT64_MAX);
    assert_true(bytes.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_the_plt),
        cmocka_unit_test(test_memory_and_registers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests_name("elf expressions", tests, NULL, NULL);
}
