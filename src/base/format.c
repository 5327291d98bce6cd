#include "base/format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

__extension__ typedef unsigned __int128 wide;

static const char *const byte_units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
enum { LAST_BYTE_UNIT = 6 };

/* value * scale / unit, halves up; wide because EiB times a hundred does not fit in 64 bits. */
static uint64_t scaled(uint64_t value, unsigned scale, uint64_t unit)
{
    return (uint64_t)(((wide)value * scale + unit / 2) / unit);
}

/* Three significant digits of value / unit, none of them decimals when the value is whole. */
static struct figure three_digits(uint64_t value, uint64_t unit, const char *name)
{
    uint64_t tenths = scaled(value, 10, unit), hundredths = scaled(value, 100, unit);
    struct figure f;

    if (value % unit == 0 || tenths >= 1000)
        snprintf(f.text, sizeof f.text, "%" PRIu64 " %s", scaled(value, 1, unit), name);
    else if (hundredths >= 1000)
        snprintf(f.text, sizeof f.text, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                 name);
    else
        snprintf(f.text, sizeof f.text, "%" PRIu64 ".%02" PRIu64 " %s", hundredths / 100,
                 hundredths % 100, name);
    return f;
}

struct figure format_bytes(uint64_t bytes)
{
    unsigned unit = bytes < 1024 ? 0 : 1;

    while (unit > 0 && unit < LAST_BYTE_UNIT &&
           scaled(bytes, 1, UINT64_C(1) << (10 * unit)) >= 10000)
        unit++;
    return three_digits(bytes, UINT64_C(1) << (10 * unit), byte_units[unit]);
}

struct figure format_bytes_of(uint64_t part, uint64_t whole)
{
    unsigned unit = 0;
    uint64_t a, b;
    struct figure f;

    while (unit < LAST_BYTE_UNIT && whole >> (10 * (unit + 1)))
        unit++;
    if (unit == 0) {
        snprintf(f.text, sizeof f.text, "%" PRIu64 " of %" PRIu64 " B", part, whole);
        return f;
    }
    a = scaled(part, 100, UINT64_C(1) << (10 * unit));
    b = scaled(whole, 100, UINT64_C(1) << (10 * unit));
    snprintf(f.text, sizeof f.text, "%" PRIu64 ".%02" PRIu64 " of %" PRIu64 ".%02" PRIu64 " %s",
             a / 100, a % 100, b / 100, b % 100, byte_units[unit]);
    return f;
}

/* One decimal below ten, unless it is 0; whole numbers from there on. */
static struct figure one_decimal(uint64_t value, uint64_t unit, const char *name)
{
    uint64_t tenths = scaled(value, 10, unit);
    struct figure f;

    if (tenths >= 100 || tenths % 10 == 0)
        snprintf(f.text, sizeof f.text, "%" PRIu64 " %s", scaled(value, 1, unit), name);
    else
        snprintf(f.text, sizeof f.text, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                 name);
    return f;
}

struct figure format_duration(uint64_t ns)
{
    if (ns == 0)
        return (struct figure){"0 ms"};
    if (scaled(ns, 1, 1000) < 100)
        return one_decimal(ns, 1000, "us");
    if (scaled(ns, 1, NS_PER_MS) < 1000)
        return one_decimal(ns, NS_PER_MS, "ms");
    return one_decimal(ns, NS_PER_S, "s");
}

/* "3 h 5 min": `value` in the smaller unit, of which `per` make the larger one. */
static struct figure two_units(uint64_t value, uint64_t per, const char *large, const char *small)
{
    struct figure f;

    if (value % per)
        snprintf(f.text, sizeof f.text, "%" PRIu64 " %s %" PRIu64 " %s", value / per, large,
                 value % per, small);
    else
        snprintf(f.text, sizeof f.text, "%" PRIu64 " %s", value / per, large);
    return f;
}

struct figure format_interval(uint64_t ns)
{
    uint64_t seconds = ns / NS_PER_S, minutes = seconds / 60, hours = minutes / 60;
    struct figure f;

    if (seconds < 10)
        return format_duration(ns);
    if (seconds >= 2 * 24 * 3600)
        return two_units(hours, 24, "days", "h");
    if (minutes >= 2 * 60)
        return two_units(minutes, 60, "h", "min");
    snprintf(f.text, sizeof f.text, "%" PRIu64 " %s", seconds < 120 ? seconds : minutes,
             seconds < 120 ? "s" : "min");
    return f;
}

struct figure format_count(uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    struct figure f;
    char *out = f.text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return f;
}
