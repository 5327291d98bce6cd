#include "diagnose/environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "diagnose/knobs.h"

static const char tunables_name[] = "GLIBC_TUNABLES", tunable_prefix[] = "glibc.malloc.";

enum { STRICT_SINCE = 239, CHECK_APART_SINCE = 234, CACHE_ROUNDED_SINCE = 242 };

struct judge {
    const struct environment_facts *facts;
    struct environment *out;
    unsigned version; /* 236 for 2.36; 0: not known */
    const char
        *malformed; /* GLIBC_TUNABLES as a whole is ignored for this reason; NULL: it is not */
};

/* Until 2.38 glibc writes NUL behind the values that it takes out of GLIBC_TUNABLES
 * (parse_tunables), so that what follows looks like a variable. */
static bool is_fragment(const char *name)
{
    return strncmp(name, "glibc.", 6) == 0;
}

bool environment_is_of_interest(const char *name)
{
    return strcmp(name, tunables_name) == 0 || is_fragment(name) || knob_named(name) ||
           knob_meant_by(name);
}

static unsigned version_of(const char *text)
{
    unsigned major, minor;

    if (sscanf(text, "%u.%u", &major, &minor) != 2 || major > 9 || minor > 99)
        return 0;
    return major * 100 + minor;
}

/* As _dl_strtoul (elf/dl-misc.c) reads them. `*ret_rest` is what is left. False: it is no number at
 * all. */
static bool number_of(const char *text, uint64_t *ret, const char **ret_rest)
{
    bool negative;
    char *end;

    text += strspn(text, " \t");
    negative = *text == '-';
    text += *text == '-' || *text == '+';
    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 0);
    if (negative)
        *ret = -*ret;
    *ret_rest = end;
    return true;
}

static bool set(struct environment_setting *setting, enum in_force in_force, const char *format,
                ...) printf_like(3, 4);

/* Always true: for `return set(...)` in what tells whether it has judged. */
static bool set(struct environment_setting *setting, enum in_force in_force, const char *format,
                ...)
{
    va_list args;

    setting->in_force = in_force;
    va_start(args, format);
    vsnprintf(setting->reason, sizeof setting->reason, format, args);
    va_end(args);
    return true;
}

/* Who does not read it at all. */
static bool judge_by_reader(const struct judge *judge, struct environment_setting *setting)
{
    const struct environment_facts *facts = judge->facts;

    if (!facts->allocator)
        return set(setting, IN_FORCE_UNKNOWN, "who serves malloc here is not known");
    if (strcmp(facts->allocator, "glibc") != 0)
        return set(setting, IN_FORCE_NO, "it is glibc's, and %s serves malloc here",
                   facts->allocator);
    if (facts->secure)
        return set(setting, IN_FORCE_NO,
                   "the program was started with privileges that its starter lacks (AT_SECURE), "
                   "and glibc ignores it then");
    return false;
}

static bool judge_by_name(const struct judge *judge, const struct knob *knob, bool is_tunable,
                          struct environment_setting *setting)
{
    if (!knob && !is_tunable)
        return set(setting, IN_FORCE_NO, "glibc knows it as %s", knob_meant_by(setting->name));
    if (is_tunable && judge->malformed)
        return set(setting, IN_FORCE_NO, "%s", judge->malformed);
    if (is_tunable && judge->facts->knows_tunable(judge->facts->context, setting->name) == 0)
        return set(setting, IN_FORCE_NO, "this glibc has no such tunable");
    if (!knob)
        return set(setting, IN_FORCE_UNKNOWN, "what it does is not known here");
    return false;
}

/* What stands somewhere else than in mp_. */
static bool judge_unseen(const struct judge *judge, const struct knob *knob,
                         struct environment_setting *setting)
{
    if (knob->kind == KNOB_UNSEEN)
        return set(setting, IN_FORCE_UNKNOWN, "where glibc keeps it cannot be told from outside");
    if (knob->kind != KNOB_CHECK)
        return false;
    if (judge->version >= CHECK_APART_SINCE && !judge->facts->has_debug_malloc)
        return set(setting, IN_FORCE_NO,
                   "since glibc 2.34 it needs libc_malloc_debug.so, which is not loaded: "
                   "LD_PRELOAD=libc_malloc_debug.so.0");
    return set(setting, IN_FORCE_UNKNOWN, "where glibc keeps it cannot be told from outside");
}

static bool judge_value(const struct judge *judge, const struct knob *knob,
                        struct environment_setting *setting, uint64_t *ret)
{
    const char *rest;

    if (!number_of(setting->value, ret, &rest))
        return set(setting, IN_FORCE_NO, "its value is no number");
    if (*rest && judge->version >= STRICT_SINCE)
        return set(setting, IN_FORCE_NO, "its value is no number: nothing may follow the digits");
    if (*rest)
        return set(setting, IN_FORCE_NO, "glibc reads no more of its value than %" PRIu64, *ret);
    if (*ret < knob->least)
        return set(setting, IN_FORCE_NO, "glibc takes no less than %" PRIu64, knob->least);
    if (*ret > knob_most(knob, judge->version))
        return set(setting, IN_FORCE_NO, "this glibc takes no more than %" PRIu64,
                   knob_most(knob, judge->version));
    return false;
}

static bool is_same(const struct judge *judge, const struct knob *knob, uint64_t value,
                    uint64_t in_force)
{
    uint64_t chunk = (value + 8 + 15) & ~UINT64_C(15);

    if (knob->kind == KNOB_CACHE && (judge->version == 0 || judge->version >= CACHE_ROUNDED_SINCE))
        return in_force == value || in_force == chunk || in_force == chunk + 1;
    return in_force == value;
}

static bool judge_huge(const struct judge *judge, uint64_t value,
                       struct environment_setting *setting)
{
    const struct heap_settings *settings = judge->facts->settings;

    if (value == 0 || (value == 1 && settings->thp_pagesize) ||
        (value > 1 && settings->hp_pagesize))
        return set(setting, IN_FORCE_YES, "%s", "");
    return set(setting, IN_FORCE_NO,
               value == 1 ? "glibc asks for huge pages only where "
                            "/sys/kernel/mm/transparent_hugepage/enabled is madvise"
                          : "the system has no huge pages of that size");
}

static void judge_by_comparison(const struct judge *judge, const struct knob *knob, uint64_t value,
                                struct environment_setting *setting)
{
    const struct heap_settings *settings = judge->facts->settings;
    uint64_t in_force;

    if (!settings) {
        set(setting, IN_FORCE_UNKNOWN, "glibc's settings could not be read");
        return;
    }
    if (knob->kind == KNOB_HUGE) {
        judge_huge(judge, value, setting);
        return;
    }
    memcpy(&in_force, (const char *)settings + knob->setting, sizeof in_force);
    if (!is_same(judge, knob, value, in_force))
        set(setting, IN_FORCE_NO,
            "%" PRIu64 " is: the program has changed it (mallopt), or was not started with this",
            in_force);
    else if (knob->kind == KNOB_DYNAMIC && settings->dynamic_threshold)
        set(setting, IN_FORCE_NO,
            "glibc still has this value by default, and changes the thresholds, as if nothing had "
            "been set");
    else
        set(setting, IN_FORCE_YES, "%s", "");
}

/* Takes `value` over. */
static int add(struct judge *judge, const char *name, char *value, bool is_tunable)
{
    struct environment_setting setting = {.value = value};
    const struct knob *knob = knob_named(name);
    uint64_t number = 0;

    if (!value)
        return -ENOMEM;
    snprintf(setting.name, sizeof setting.name, "%s", name);
    if (!judge_by_reader(judge, &setting) && !judge_by_name(judge, knob, is_tunable, &setting) &&
        !judge_unseen(judge, knob, &setting) && !judge_value(judge, knob, &setting, &number))
        judge_by_comparison(judge, knob, number, &setting);
    if (vector_push(judge->out, setting) == 0)
        return 0;
    free(value);
    return -ENOMEM;
}

/* One part of GLIBC_TUNABLES: NAME=VALUE. Others' tunables are none of ours. */
static int add_tunable(struct judge *judge, const char *part, size_t length)
{
    const char *sign = memchr(part, '=', length);
    size_t name_length = sign ? (size_t)(sign - part) : length;
    char name[sizeof judge->out->items->name];

    if (name_length >= sizeof name || name_length <= strlen(tunable_prefix) ||
        strncmp(part, tunable_prefix, strlen(tunable_prefix)) != 0)
        return 0;
    memcpy(name, part, name_length);
    name[name_length] = '\0';
    return add(judge, name, strndup(sign ? sign + 1 : "", sign ? length - name_length - 1 : 0),
               true);
}

/* Since 2.39 (parse_tunables_string) one such part makes all of it void. */
static const char *what_is_malformed(const struct judge *judge, const char *text)
{
    if (judge->version < STRICT_SINCE || !*text)
        return NULL;
    for (const char *part = text;; part++) {
        size_t length = strcspn(part, ":"), name = strcspn(part, "=:");

        if (name < length && memchr(part + name + 1, '=', length - name - 1))
            return "glibc ignores GLIBC_TUNABLES as a whole: a value in it has a \"=\"";
        if (name == length && part[length] == '\0')
            return "glibc ignores GLIBC_TUNABLES as a whole: its last part is no NAME=VALUE";
        part += length;
        if (!*part)
            return NULL;
    }
}

static int add_tunables(struct judge *judge, const char *text)
{
    int r = 0;

    judge->malformed = what_is_malformed(judge, text);
    while (r == 0 && *text) {
        size_t length = strcspn(text, ":");

        r = add_tunable(judge, text, length);
        text += length + (text[length] == ':');
    }
    return r;
}

/* Of several settings of the same the last tunable wins, and any tunable over a variable. */
static void judge_rivals(struct environment *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct knob *knob = knob_named(all->items[i].name);

        for (size_t k = 0; knob && k < all->count; k++) {
            bool later = k > i, tunable = strcmp(all->items[k].name, knob->tunable) == 0,
                 rival = k != i && knob_named(all->items[k].name) == knob && tunable &&
                         (later || strcmp(all->items[i].name, knob->tunable) != 0);

            if (rival && all->items[i].in_force == IN_FORCE_NO &&
                all->items[k].in_force == IN_FORCE_YES)
                set(&all->items[i], IN_FORCE_NO, "%s=%.40s in GLIBC_TUNABLES goes before it",
                    knob->tunable, all->items[k].value);
        }
    }
}

static int add_fragment(struct judge *judge, const struct environ_variable *variable)
{
    char *text;
    int r = asprintf(&text, "%s=%s", variable->name, variable->value) < 0 ? -ENOMEM : 0;

    if (r)
        return r;
    r = add_tunables(judge, text);
    free(text);
    return r;
}

int environment_judge(const struct environment_facts *facts, struct environment *ret)
{
    struct environment out = {0};
    struct judge judge = {.facts = facts, .out = &out, .version = version_of(facts->version)};
    bool in_tunables = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < facts->variables->count; i++) {
        const struct environ_variable *variable = &facts->variables->items[i];
        bool tunables = strcmp(variable->name, tunables_name) == 0;

        in_tunables |= tunables;
        if (tunables)
            r = add_tunables(&judge, variable->value);
        else if (is_fragment(variable->name))
            r = in_tunables ? add_fragment(&judge, variable) : 0;
        else if (environment_is_of_interest(variable->name))
            r = add(&judge, variable->name, strdup(variable->value), false);
    }
    if (r) {
        environment_free(&out);
        return r;
    }
    judge_rivals(&out);
    *ret = out;
    return 0;
}

void environment_free(struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++)
        free(environment->items[i].value);
    free(environment->items);
    *environment = (struct environment){0};
}
