/*
 * What a process was started with: its environment as it lies in memory, and what is made of
 * malloc's settings in it. The input's first part is the environment; the second, if any, numbers
 * that are in force, and a version.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/environment.h"
#include "fuzz.h"

static bool any(const char *name)
{
    fuzz_check(name[0]);
    return true;
}

static void check_variables(const struct environ_variables *variables)
{
    fuzz_check(variables->count <= ENVIRON_VARIABLES);
    for (size_t i = 0; i < variables->count; i++) {
        const struct environ_variable *variable = &variables->items[i];

        fuzz_check(variable->name[0] && memchr(variable->name, '\0', sizeof variable->name));
        fuzz_check(strlen(variable->value) <= ENVIRON_VALUE);
    }
}

static int knows(void *context, const char *name)
{
    return (int)strlen(name) % 3 - 1;
}

static void judge(const struct environ_variables *variables, struct fuzz_part numbers)
{
    static const char *const versions[] = {"", "2.36", "2.26", "2.31", "2.38", "2.42", "2.44", "x"};
    uint8_t byte = numbers.size ? numbers.data[0] : 0;
    struct heap_settings settings = {0};
    struct environment_facts facts = {.variables = variables,
                                      .allocator = byte & 8 ? "jemalloc" : "glibc",
                                      .settings = byte & 16 ? NULL : &settings,
                                      .version = versions[byte % 8],
                                      .secure = byte & 32,
                                      .has_debug_malloc = byte & 64,
                                      .knows_tunable = knows};
    struct environment environment = {0};

    memcpy(&settings, numbers.data + (numbers.size != 0),
           numbers.size ? (numbers.size - 1 < sizeof settings ? numbers.size - 1 : sizeof settings)
                        : 0);
    settings.dynamic_threshold = byte & 128; /* no other value is a bool's */
    fuzz_check(environment_judge(&facts, &environment) == 0);
    for (size_t i = 0; i < environment.count; i++) {
        const struct environment_setting *setting = &environment.items[i];

        fuzz_check(setting->name[0] && memchr(setting->name, '\0', sizeof setting->name));
        fuzz_check(memchr(setting->reason, '\0', sizeof setting->reason));
        fuzz_check((setting->in_force == IN_FORCE_YES) == !setting->reason[0]);
        fuzz_check(setting->value);
    }
    environment_free(&environment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {data, size}, text = fuzz_next_part(&rest);
    struct environ_variables all = {0}, wanted = {0};

    fuzz_check(environ_take((const char *)text.data, text.size, any, &all) == 0);
    check_variables(&all);
    environ_free(&all);
    fuzz_check(
        environ_take((const char *)text.data, text.size, environment_is_of_interest, &wanted) == 0);
    check_variables(&wanted);
    judge(&wanted, rest);
    environ_free(&wanted);
    return 0;
}
