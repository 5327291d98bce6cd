/*
 * Figures for people. Three significant digits as a rule, never more than four, and always a unit:
 * a reader compares figures, machines get JSON. Each call returns its text by value:
 *
 *     printf("%s\n", format_bytes(rss).text);
 */
#pragma once

#include <stdint.h>

struct figure {
    char text[64];
};

/*
 * "512 B", "18 KiB", "9.77 MiB", "1884 MiB", "12.5 GiB". A unit is kept up to 9999 of it, so that the parts of one
 * sum stay in one unit; a value that is whole in its unit has no decimals; halves are rounded up.
 */
struct figure format_bytes(uint64_t bytes);

/* Two figures in one unit, the largest of which `whole` holds at least one: "1.90 of 2.00 GiB". */
struct figure format_bytes_of(uint64_t part, uint64_t whole);

/* "0 ms", "37 us", "0.6 ms", "4 ms", "1.2 s", "340 s". Below a tenth of a millisecond in microseconds. */
struct figure format_duration(uint64_t ns);

/* "0.4 s", "45 s", "12 min", "3 h 5 min", "3 days 2 h": rounded down, for the time between two looks. */
struct figure format_interval(uint64_t ns);

/* "1,024" */
struct figure format_count(uint64_t count);
