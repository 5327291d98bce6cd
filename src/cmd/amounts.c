/* Amounts with units, as arguments. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cmd/reclaim.h"

struct unit {
    const char *name;
    double times;
};

/* A number from 0 to 10^15 and one of the units behind it. */
static int parse_amount(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
    char *end;
    double value;

    if (!isdigit((unsigned char)text[0]) || strncasecmp(text, "0x", 2) == 0)
        return -EINVAL;
    value = strtod(text, &end);
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(end, units[i].name) == 0 && value * units[i].times <= 1e18) {
            *ret = (uint64_t)(value * units[i].times + 0.5);
            return 0;
        }
    return -EINVAL;
}

int parse_duration(const char *text, uint64_t *ret_ns)
{
    static const struct unit units[] = {
        {"", NS_PER_S}, {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"us", 1000}, {"min", 60.0 * NS_PER_S}};

    return parse_amount(text, units, sizeof units / sizeof *units, ret_ns);
}

int parse_bytes(const char *text, uint64_t *ret)
{
    static const struct unit units[] = {
        {"", 1},         {"B", 1},       {"K", 0x1p10},   {"KB", 0x1p10},  {"KiB", 0x1p10},
        {"M", 0x1p20},   {"MB", 0x1p20}, {"MiB", 0x1p20}, {"G", 0x1p30},   {"GB", 0x1p30},
        {"GiB", 0x1p30}, {"T", 0x1p40},  {"TB", 0x1p40},  {"TiB", 0x1p40},
    };

    return parse_amount(text, units, sizeof units / sizeof *units, ret);
}
