#include "ledger/sample.h"

enum { UNIT_BYTES = 256 << 10, LOOKS_PER_UNIT = 4 };

static uint64_t unit_bytes(const struct sampler *sampler, struct range range)
{
    uint64_t length = range_length(range);
    uint64_t share =
        (uint64_t)((long double)length / (long double)sampler->total_bytes * SAMPLE_LOOKS);

    if (share == 0)
        share = 1;
    return align_up((length + share - 1) / share, UNIT_BYTES);
}

/* The verdict on a unit: as the test's, of the first place that tells. */
static int look_at_unit(struct sampler *sampler, const struct content_test *test, uint64_t stride,
                        struct range unit)
{
    remote_addr at = align_up(unit.start, stride);
    int r = OUTCOME_UNREADABLE;

    for (unsigned i = 0; r == OUTCOME_UNREADABLE && i < LOOKS_PER_UNIT; i++, at += stride) {
        if (at < unit.start || !range_has(unit, at) || sampler->looks_left == 0)
            break;
        sampler->looks_left--;
        r = test->look(sampler->memory, at, stride);
    }
    return r;
}

int sample_range(struct sampler *sampler, const struct content_test *test, uint64_t stride,
                 struct range range, struct sample_result *ret)
{
    struct sample_result result = {0};
    uint64_t step = unit_bytes(sampler, range);
    int before = OUTCOME_UNREADABLE;

    for (struct range unit = {range.start, range.start}; unit.start < range.end;
         unit.start = unit.end) {
        unit.end = range.end - unit.start > step ? unit.start + step : range.end;
        int verdict = look_at_unit(sampler, test, stride, unit);

        if (verdict < 0)
            return verdict;
        /* A unit that cannot tell goes with the one before it. */
        if (verdict == OUTCOME_UNREADABLE)
            verdict = before;
        result.fit_bytes += verdict == 0 ? range_length(unit) : 0;
        result.misfit |= verdict == OUTCOME_NOT_FOUND;
        before = verdict;
    }
    *ret = result;
    return 0;
}
