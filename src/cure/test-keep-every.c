/* How often memory is given back. */
#include "cure/keep-every.h"

#include "cure/keep-cost.h"
#include "procfs/test-cmocka.h"

static void what_pays_is_done_again_soon(void **state)
{
    assert_int_equal(keep_every_next(30, 30, 1000, 0), 30);
    assert_int_equal(keep_every_next(30, 240, 1000, 499), 30);
}

static void what_does_not_pay_is_put_off(void **state)
{
    uint64_t now = 30;

    assert_int_equal(keep_every_next(30, 30, 0, 0), 60);
    assert_int_equal(keep_every_next(30, 30, 1000, 500), 60);
    for (int i = 0; i < 20; i++)
        now = keep_every_next(30, now, 0, 0);
    assert_int_equal(now, 480);
}

/* 2 % of 10 s are 0.2 s, beyond what was taken before; told as soon as they are spent. */
static void faults_have_a_budget(void **state)
{
    struct keep_cost cost = {.fault_ns = 1000, .watched_ns = 1000000000, .faults = 200000};

    assert_false(keep_cost_exceeds(&cost, UINT64_C(10000000000), 20));
    cost.faults++;
    assert_true(keep_cost_exceeds(&cost, UINT64_C(10000000000), 20));
    cost.before_ns = 1000000000;
    cost.faults_before = 10000; /* 1 % */
    assert_false(keep_cost_exceeds(&cost, UINT64_C(10000000000), 20));
    cost.faults = 300001;
    assert_true(keep_cost_exceeds(&cost, UINT64_C(10000000000), 20));
}

static void a_fault_takes_time(void **state)
{
    struct keep_cost cost = {0};

    keep_cost_measure(&cost);
    assert_true(cost.fault_ns > 0);
    assert_true(cost.mapping_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_pays_is_done_again_soon),
        cmocka_unit_test(what_does_not_pay_is_put_off),
        cmocka_unit_test(faults_have_a_budget),
        cmocka_unit_test(a_fault_takes_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
