#include "cure/keep-json.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

static const char format[] = "residue.keep-state/1";

/* glibc's own bounds: HEAP_MAX_SIZE / 2 for what is mapped, and twice that from which to trim. */
#define MMAP_THRESHOLD_MOST (UINT64_C(32) << 20)
#define TRIM_THRESHOLD_MOST (UINT64_C(64) << 20)

static void json_release(json_t **value)
{
    json_decref(*value);
}

static json_t *change_object(const struct keep_change *change)
{
    return json_pack("{s:s, s:I, s:I}", "setting", keep_setting_name(change->setting), "before",
                     (json_int_t)change->before, "after", (json_int_t)change->after);
}

char *keep_state_text(const struct keep_state *state)
{
    json_t *changes = json_array();
    __attribute__((cleanup(json_release))) json_t *object = NULL;

    for (size_t i = 0; changes && i < state->count; i++)
        if (json_array_append_new(changes, change_object(&state->changes[i]))) {
            json_decref(changes);
            changes = NULL;
        }
    if (!changes)
        return NULL;
    object = json_pack("{s:s, s:s, s:i, s:I, s:I, s:o}", "format", format, "boot_id",
                       state->identity.boot_id, "pid", (int)state->pid, "start_ticks",
                       (json_int_t)state->identity.start_ticks, "parameters",
                       (json_int_t)state->parameters, "changes", changes);
    return object ? json_dumps(object, JSON_INDENT(2)) : NULL;
}

static bool value_fits(enum keep_setting setting, uint64_t value)
{
    switch (setting) {
    case KEEP_HUGE_PAGES:
        return value == KEEP_HUGE_ALLOWED || value == KEEP_HUGE_OFF || value == KEEP_HUGE_ADVISED;
    case KEEP_MMAP_MAX:
        return value <= INT_MAX;
    case KEEP_TRIM_THRESHOLD:
        return value <= TRIM_THRESHOLD_MOST;
    case KEEP_MMAP_THRESHOLD:
        return value <= MMAP_THRESHOLD_MOST;
    case KEEP_STATIC:
        return value <= 1;
    case KEEP_SETTINGS:
        break;
    }
    return false;
}

static bool take_change(json_t *object, struct keep_state *state)
{
    json_int_t before, after;
    const char *name;

    if (json_unpack(object, "{s:s, s:I, s:I !}", "setting", &name, "before", &before, "after",
                    &after) ||
        before < 0 || after < 0)
        return false;
    for (unsigned i = 0; i < KEEP_SETTINGS; i++)
        if (strcmp(name, keep_setting_name(i)) == 0) {
            struct keep_change change = {i, (uint64_t)before, (uint64_t)after};

            if (keep_state_find(state, i) || !value_fits(i, change.before) ||
                !value_fits(i, change.after))
                return false;
            keep_state_put(state, change);
            return true;
        }
    return false;
}

static bool take_all(json_t *root, struct keep_state *ret)
{
    json_int_t pid, ticks, parameters;
    const char *says, *boot_id;
    json_t *changes;

    if (json_unpack(root, "{s:s, s:s, s:I, s:I, s:I, s:o !}", "format", &says, "boot_id", &boot_id,
                    "pid", &pid, "start_ticks", &ticks, "parameters", &parameters, "changes",
                    &changes) ||
        strcmp(says, format) != 0 || strlen(boot_id) >= sizeof ret->identity.boot_id || pid < 1 ||
        pid > INT_MAX || ticks < 0 || parameters < 0 || !json_is_array(changes) ||
        json_array_size(changes) > KEEP_SETTINGS)
        return false;
    *ret = (struct keep_state){.pid = (pid_t)pid,
                               .identity = {.start_ticks = (uint64_t)ticks, .known = true},
                               .parameters = (remote_addr)parameters};
    strcpy(ret->identity.boot_id, boot_id);
    for (size_t i = 0; i < json_array_size(changes); i++)
        if (!take_change(json_array_get(changes, i), ret))
            return false;
    return true;
}

int keep_state_parse(const char *text, size_t length, struct keep_state *ret, struct why *why)
{
    __attribute__((cleanup(json_release))) json_t *root =
        json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    struct keep_state state;

    if (!root || !take_all(root, &state))
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this is not what residue keep writes: it is not believed, and nothing "
                       "is undone by it; remove it if it is not needed");
    *ret = state;
    return 0;
}
