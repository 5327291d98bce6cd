#include "report/column.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

__extension__ typedef unsigned __int128 wide;

static const char *const unit_names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
enum { LAST_UNIT = 6 };
static const unsigned scales[] = {1, 10, 100};

static wide unit_bytes(const struct column *column)
{
    return (wide)1 << (10 * column->unit);
}

static uint64_t rounded(wide bytes, unsigned scale, wide unit)
{
    return (uint64_t)((bytes * scale + unit / 2) / unit);
}

/* As format_bytes: a unit is kept up to 9999 of it, and three digits are told. */
static void choose_unit(struct column *column, wide total)
{
    column->unit = total < 1024 ? 0 : 1;
    while (column->unit > 0 && column->unit < LAST_UNIT &&
           rounded(total, 1, unit_bytes(column)) >= 10000)
        column->unit++;
    if (column->unit == 0 || rounded(total, 10, unit_bytes(column)) >= 1000)
        column->decimals = 0;
    else
        column->decimals = rounded(total, 100, unit_bytes(column)) >= 1000 ? 1 : 2;
}

/* One more step to the part that lost most when it was cut down. */
static void round_one_up(struct column *column, wide *remainders)
{
    size_t largest = 0;

    for (size_t i = 1; i < column->count; i++)
        if (remainders[i] > remainders[largest])
            largest = i;
    column->steps[largest]++;
    remainders[largest] = 0;
}

struct column column_of(const uint64_t *bytes, size_t count)
{
    struct column column = {.count = count};
    wide total = 0, remainders[COLUMN_PARTS];
    uint64_t missing;

    assert(count <= COLUMN_PARTS);
    for (size_t i = 0; i < count; i++)
        total += bytes[i];
    choose_unit(&column, total);
    missing = column.total_steps = rounded(total, scales[column.decimals], unit_bytes(&column));
    for (size_t i = 0; i < count; i++) {
        wide scaled = (wide)bytes[i] * scales[column.decimals];

        column.bytes[i] = bytes[i];
        column.steps[i] = (uint64_t)(scaled / unit_bytes(&column));
        remainders[i] = scaled % unit_bytes(&column);
        missing -= column.steps[i];
    }
    for (; missing; missing--)
        round_one_up(&column, remainders);
    return column;
}

struct remainder {
    wide lost;
    size_t part;
};

/* The largest first; of those that are alike, the first. */
static int by_remainder(const void *a, const void *b)
{
    const struct remainder *left = a, *right = b;

    if (left->lost != right->lost)
        return left->lost < right->lost ? 1 : -1;
    return (left->part > right->part) - (left->part < right->part);
}

int column_of_many(const uint64_t *bytes, size_t count, struct column *ret, uint64_t *ret_steps)
{
    auto_free struct remainder *remainders = calloc(count + 1, sizeof *remainders);
    struct column column = {0};
    uint64_t missing;
    wide total = 0;

    if (!remainders)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        total += bytes[i];
    choose_unit(&column, total);
    missing = column.total_steps = rounded(total, scales[column.decimals], unit_bytes(&column));
    for (size_t i = 0; i < count; i++) {
        wide scaled = (wide)bytes[i] * scales[column.decimals];

        ret_steps[i] = (uint64_t)(scaled / unit_bytes(&column));
        remainders[i] = (struct remainder){scaled % unit_bytes(&column), i};
        missing -= ret_steps[i];
    }
    qsort(remainders, count, sizeof *remainders, by_remainder);
    for (size_t i = 0; i < missing; i++)
        ret_steps[remainders[i].part]++;
    *ret = column;
    return 0;
}

static struct figure steps_figure(const struct column *column, const char *prefix, uint64_t steps)
{
    unsigned scale = scales[column->decimals];
    struct figure f;

    if (column->decimals == 0)
        snprintf(f.text, sizeof f.text, "%s%" PRIu64 " %s", prefix, steps,
                 unit_names[column->unit]);
    else
        snprintf(f.text, sizeof f.text, "%s%" PRIu64 ".%0*" PRIu64 " %s", prefix, steps / scale,
                 (int)column->decimals, steps % scale, unit_names[column->unit]);
    return f;
}

const char *column_unit(const struct column *column)
{
    return unit_names[column->unit];
}

struct figure column_figure(const struct column *column, uint64_t steps)
{
    return steps_figure(column, "", steps);
}

struct figure column_part(const struct column *column, size_t part)
{
    if (column->steps[part] == 0 && column->bytes[part] > 0)
        return steps_figure(column, "<", 1);
    return steps_figure(column, "", column->steps[part]);
}

struct figure column_amount(const struct column *column, uint64_t bytes)
{
    uint64_t steps = rounded(bytes, scales[column->decimals], unit_bytes(column));

    for (size_t i = 0; i < column->count; i++)
        if (column->bytes[i] == bytes && column->steps[i] > 0)
            return column_figure(column, column->steps[i]);
    return steps ? column_figure(column, steps) : format_bytes(bytes);
}
