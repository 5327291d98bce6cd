#include "report/changes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { MOST_STEPS = 999999 }; /* more digits are not read */

static const unsigned scales[] = {1, 10, 100};

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

static wide unit_bytes(const struct column *unit)
{
    return (wide)1 << (10 * unit->unit);
}

static wide scaled(const struct column *unit, uint64_t bytes)
{
    return (wide)bytes * scales[unit->decimals];
}

static uint64_t rounded(const struct column *unit, uint64_t bytes)
{
    return (uint64_t)((scaled(unit, bytes) + unit_bytes(unit) / 2) / unit_bytes(unit));
}

/* As format_bytes would tell the largest difference; of two tables that are alike, the total. */
static struct column unit_for(const struct changes *changes)
{
    uint64_t largest = 0, total = changes->before[changes->count];
    struct column unit;

    if (changes->after[changes->count] > total)
        total = changes->after[changes->count];
    for (size_t i = 0; i <= changes->count; i++)
        if (distance(changes->before[i], changes->after[i]) > largest)
            largest = distance(changes->before[i], changes->after[i]);
    if (largest == 0)
        largest = total;
    if (largest < 1024 && total >= 1024)
        largest = 1024; /* no process' memory is told in bytes */
    unit = column_of(&largest, 1);
    while (unit.decimals > 0 && rounded(&unit, total) > MOST_STEPS)
        unit.decimals--;
    return unit;
}

/* What may be printed of one row: both amounts rounded down, or one up, or both. */
struct choice {
    bool up_before, up_after;
};

static const struct choice choices[] = {{false, false}, {false, true}, {true, false}, {true, true}};
enum { CHOICES = 4, IMPOSSIBLE = CHOICES };

struct row {
    wide before, after; /* what is lost when they are rounded down */
};

static bool is_allowed(struct row row, struct choice choice)
{
    if ((choice.up_before && row.before == 0) || (choice.up_after && row.after == 0))
        return false;
    if (row.before == row.after)
        return choice.up_before == choice.up_after;
    return row.before < row.after ? !choice.up_before || choice.up_after
                                  : choice.up_before || !choice.up_after;
}

static double square(double x)
{
    return x * x;
}

/* How far it leads from the amounts and their difference. */
static double cost_of(struct row row, struct choice choice, double unit)
{
    double before = choice.up_before - (double)row.before / unit;
    double after = choice.up_after - (double)row.after / unit;

    return square(before) + square(after) + square(after - before);
}

/* Cost of a choice that cannot be made. */
static const double never = 1e9;

/*
 * Row by row, for all numbers of amounts that are rounded up in the one column and in the other:
 * the least cost so far, and the choice for the row that leads there.
 */
struct plan {
    double cost[CHANGES_MOST + 1][CHANGES_MOST + 1];
    unsigned char choice[CHANGES_MOST][CHANGES_MOST + 1][CHANGES_MOST + 1];
};

static void plan_begin(struct plan *plan)
{
    for (size_t b = 0; b <= CHANGES_MOST; b++)
        for (size_t a = 0; a <= CHANGES_MOST; a++)
            plan->cost[b][a] = never;
    plan->cost[0][0] = 0;
}

/* The best choice of row `index` that leads to `b` and `a`. From large to small ones, so that the
 * costs of smaller ones are still those of the rows before. */
static void plan_cell(struct plan *plan, size_t index, const double *costs, size_t b, size_t a)
{
    double best = never;

    for (unsigned char i = 0; i < CHOICES; i++) {
        if (b < choices[i].up_before || a < choices[i].up_after)
            continue;
        if (plan->cost[b - choices[i].up_before][a - choices[i].up_after] + costs[i] >= best)
            continue;
        best = plan->cost[b - choices[i].up_before][a - choices[i].up_after] + costs[i];
        plan->choice[index][b][a] = i;
    }
    plan->cost[b][a] = best;
}

static void plan_row(struct plan *plan, size_t index, struct row row, double unit)
{
    double costs[CHOICES];

    for (unsigned i = 0; i < CHOICES; i++)
        costs[i] = is_allowed(row, choices[i]) ? cost_of(row, choices[i], unit) : never;
    for (size_t b = index + 2; b-- > 0;)
        for (size_t a = index + 2; a-- > 0;)
            plan_cell(plan, index, costs, b, a);
}

/* Back from the numbers that the totals ask for. */
static void plan_take(const struct plan *plan, struct changes *changes, uint64_t b, uint64_t a)
{
    assert(b <= changes->count && a <= changes->count && plan->cost[b][a] < never);
    for (size_t i = changes->count; i-- > 0;) {
        struct choice choice = choices[plan->choice[i][b][a]];

        changes->before_steps[i] += choice.up_before;
        changes->after_steps[i] += choice.up_after;
        b -= choice.up_before;
        a -= choice.up_after;
    }
}

static void round_all(struct changes *changes)
{
    size_t count = changes->count;
    wide unit = unit_bytes(&changes->unit);
    uint64_t missing_before, missing_after;
    struct plan plan;

    plan_begin(&plan);
    missing_before = changes->before_steps[count] = rounded(&changes->unit, changes->before[count]);
    missing_after = changes->after_steps[count] = rounded(&changes->unit, changes->after[count]);
    for (size_t i = 0; i < count; i++) {
        wide before = scaled(&changes->unit, changes->before[i]);
        wide after = scaled(&changes->unit, changes->after[i]);

        changes->before_steps[i] = (uint64_t)(before / unit);
        changes->after_steps[i] = (uint64_t)(after / unit);
        missing_before -= changes->before_steps[i];
        missing_after -= changes->after_steps[i];
        plan_row(&plan, i, (struct row){before % unit, after % unit}, (double)unit);
    }
    plan_take(&plan, changes, missing_before, missing_after);
}

struct changes changes_of(const uint64_t *before, const uint64_t *after, size_t count)
{
    struct changes changes = {.count = count};

    assert(count <= CHANGES_MOST);
    for (size_t i = 0; i < count; i++) {
        changes.before[count] += changes.before[i] = before[i];
        changes.after[count] += changes.after[i] = after[i];
    }
    changes.unit = unit_for(&changes);
    round_all(&changes);
    return changes;
}

static struct figure figure_of(const struct changes *changes, const char *sign, uint64_t steps,
                               bool is_there)
{
    struct figure plain = column_figure(&changes->unit, steps ? steps : 1), f;

    if (is_there)
        snprintf(f.text, sizeof f.text, "%s%s%.48s", sign, steps ? "" : "<", plain.text);
    else
        snprintf(f.text, sizeof f.text, "0 %s", column_unit(&changes->unit));
    return f;
}

struct figure changes_before(const struct changes *changes, size_t row)
{
    return figure_of(changes, "", changes->before_steps[row], changes->before[row] > 0);
}

struct figure changes_after(const struct changes *changes, size_t row)
{
    return figure_of(changes, "", changes->after_steps[row], changes->after[row] > 0);
}

struct figure changes_size(const struct changes *changes, size_t row)
{
    return figure_of(changes, "", distance(changes->before_steps[row], changes->after_steps[row]),
                     changes->before[row] != changes->after[row]);
}

struct figure changes_difference(const struct changes *changes, size_t row)
{
    uint64_t before = changes->before[row], after = changes->after[row];

    return figure_of(changes,
                     after > before   ? "+"
                     : after < before ? "-"
                                      : "",
                     distance(changes->before_steps[row], changes->after_steps[row]),
                     before != after);
}
