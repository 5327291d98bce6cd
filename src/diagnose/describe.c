/* Words that several rules need. */
#include <inttypes.h>
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

/* "2", "1.5", "0.25" */
static struct figure hundredths_text(uint64_t hundredths)
{
    struct figure figure;

    if (hundredths % 100 == 0)
        snprintf(figure.text, sizeof figure.text, "%" PRIu64, hundredths / 100);
    else if (hundredths % 10 == 0)
        snprintf(figure.text, sizeof figure.text, "%" PRIu64 ".%" PRIu64, hundredths / 100,
                 hundredths % 100 / 10);
    else
        snprintf(figure.text, sizeof figure.text, "%" PRIu64 ".%02" PRIu64, hundredths / 100,
                 hundredths % 100);
    return figure;
}

struct cpus_text describe_cpus(const struct cpus *cpus)
{
    uint64_t usable = cpus_usable_hundredths(cpus);
    uint64_t run_on = 100 * (uint64_t)(cpus->allowed ? cpus->allowed : cpus->online);
    const char *why = usable < run_on ? "its cgroup's quota; " : "";
    struct cpus_text text = {""};

    if (usable == 0)
        return text;
    snprintf(text.text, sizeof text.text, "%s CPU%s", hundredths_text(usable).text,
             usable == 100 ? "" : "s");
    if (cpus->online * UINT64_C(100) > usable)
        snprintf(text.text, sizeof text.text, "%s CPU%s (%sthe machine has %u)",
                 hundredths_text(usable).text, usable == 100 ? "" : "s", why, cpus->online);
    return text;
}

unsigned whole_cpus(const struct cpus *cpus)
{
    return (unsigned)((cpus_usable_hundredths(cpus) + 99) / 100);
}

/* A chunk of `bytes` serves requests of up to 8 bytes less, and more than the next smaller chunk
 * does. */
struct class_text describe_class(unsigned index)
{
    uint64_t least = census_class_least(index), next = census_class_least(index + 1);
    struct class_text text;

    if (index >= CENSUS_CLASSES - 1)
        snprintf(text.text, sizeof text.text, "%s or more", format_bytes(least).text);
    else if (index >= CENSUS_EXACT)
        snprintf(text.text, sizeof text.text, "%s to %s", format_bytes(least).text,
                 format_bytes(next).text);
    else if (least <= 32)
        snprintf(text.text, sizeof text.text, "up to 24 bytes");
    else
        snprintf(text.text, sizeof text.text, "%" PRIu64 " to %" PRIu64 " bytes", least - 23,
                 least - 8);
    return text;
}
