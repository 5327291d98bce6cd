#include "report/start-lines.h"

#include <stdlib.h>
#include <string.h>

#include "report/advice.h"

static const char tunables[] = "GLIBC_TUNABLES",
                  letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

const char *start_form_name(enum start_form form)
{
    static const char *const names[START_FORMS] = {[START_SYSTEMD] = "systemd",
                                                   [START_DOCKER] = "docker",
                                                   [START_KUBERNETES] = "kubernetes",
                                                   [START_SHELL] = "shell"};

    return names[form];
}

/* What needs no quoting in any of the forms. */
static bool is_plain(const char *text, const char *more)
{
    while (*text && (strchr(letters, *text) || strchr(more, *text)))
        text++;
    return !*text;
}

static struct start_setting *find(struct start_lines *lines, const char *name)
{
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->items[i].name, name) == 0)
            return &lines->items[i];
    return NULL;
}

/* Tunables share one variable; each is named once. */
static void join(struct start_setting *setting, const char *value)
{
    size_t length = strlen(setting->value), name = strcspn(value, "=");

    if (strncmp(setting->name, tunables, sizeof setting->name) != 0)
        return;
    for (const char *part = setting->value; part; part = strchr(part, ':')) {
        part += *part == ':';
        if (strncmp(part, value, name + 1) == 0)
            return;
    }
    if (length + strlen(value) + 2 <= sizeof setting->value)
        snprintf(setting->value + length, sizeof setting->value - length, ":%s", value);
}

static void add(struct start_lines *lines, const char *name, const char *value)
{
    struct start_setting *setting = find(lines, name);

    if (!is_plain(name, "") || !is_plain(value, "._-:=") || strlen(name) >= sizeof setting->name ||
        strlen(value) >= sizeof setting->value)
        return;
    if (setting) {
        join(setting, value);
    } else if (lines->count < START_SETTINGS) {
        setting = &lines->items[lines->count++];
        strcpy(setting->name, name);
        strcpy(setting->value, value);
    }
}

/* "NAME=VALUE NAME=VALUE"; what is no variable, but a command, is not for the start. */
static void add_all(struct start_lines *lines, const char *text)
{
    char copy[256], *rest, *word;

    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return;
    for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');

        if (!equals || equals == word)
            return;
        *equals = '\0';
        add(lines, word, equals + 1);
    }
}

/* The tunables that the process has been started with would be lost with a new value of the
 * variable. */
static void add_present_tunables(const struct explanation *e, struct start_lines *lines)
{
    struct start_setting *setting = find(lines, tunables);

    for (size_t i = 0; setting && i < e->environment.count; i++) {
        const struct environment_setting *item = &e->environment.items[i];
        char text[200];

        if (strncmp(item->name, "glibc.", 6) == 0 && is_plain(item->value, "._-") &&
            snprintf(text, sizeof text, "%s=%s", item->name, item->value) < (int)sizeof text)
            join(setting, text);
    }
}

void start_lines_for(const struct explanation *explanation, bool thresholds,
                     struct start_lines *ret)
{
    struct advice_text text;
    struct advice advice;

    *ret = (struct start_lines){0};
    if (thresholds) {
        add(ret, "MALLOC_MMAP_THRESHOLD_", "131072");
        add(ret, "MALLOC_TRIM_THRESHOLD_", "131072");
    }
    if (!explanation)
        return;
    for (size_t i = 0; i < explanation->findings.count; i++)
        if (advice_for(explanation, &explanation->findings.items[i], &text, &advice) &&
            advice.setting)
            add_all(ret, advice.setting);
    add_present_tunables(explanation, ret);
}

static int each_of_kubernetes(const struct start_lines *lines,
                              int (*each)(void *context, const char *line), void *context)
{
    char text[400];
    int r = lines->count ? each(context, "env:") : 0;

    for (size_t i = 0; r == 0 && i < lines->count; i++) {
        snprintf(text, sizeof text, "- name: %s", lines->items[i].name);
        r = each(context, text);
        if (r)
            break;
        snprintf(text, sizeof text, "  value: \"%s\"", lines->items[i].value);
        r = each(context, text);
    }
    return r;
}

int start_lines_each(const struct start_lines *lines, enum start_form form,
                     int (*each)(void *context, const char *line), void *context)
{
    static const char *const words[START_FORMS] = {
        [START_SYSTEMD] = "Environment=", [START_DOCKER] = "ENV ", [START_SHELL] = "export "};
    char text[400];
    int r = 0;

    if (form == START_KUBERNETES)
        return each_of_kubernetes(lines, each, context);
    for (size_t i = 0; r == 0 && i < lines->count; i++) {
        snprintf(text, sizeof text, "%s%s=%s", words[form], lines->items[i].name,
                 lines->items[i].value);
        r = each(context, text);
    }
    return r;
}
