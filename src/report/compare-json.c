#include <string.h>

#include "report/compare-rows.h"
#include "report/compare.h"
#include "report/snapshot-json.h"
#include "report/values.h"

/* All amounts are 63 bits wide, so that their differences are, too, with a sign. */
static json_t *amounts(struct amount before, struct amount after)
{
    bool known = before.known && after.known;

    return OBJECT({"before", json_amount_if(before.known, before.value)},
                  {"after", json_amount_if(after.known, after.value)},
                  {"difference",
                   known ? json_integer((json_int_t)(after.value - before.value)) : json_null()});
}

static struct amount amount(uint64_t value)
{
    return (struct amount){true, value};
}

/* Sets `object`'s `key`; takes the value over. False when memory is short. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *look_object(const struct snapshot *s)
{
    return OBJECT({"pid", json_integer(s->pid)}, {"comm", json_text(s->comm)},
                  {"boot_id", json_text_if(s->boot_id)},
                  {"start_time_ticks", json_amount_if(s->start_ticks.known, s->start_ticks.value)},
                  {"taken_at_ns", json_amount_if(s->taken_at_ns.known, s->taken_at_ns.value)},
                  {"allocator", OBJECT({"name", json_text_if(s->allocator)},
                                       {"version", json_text_if(s->allocator_version)},
                                       {"decoded", json_boolean(s->decoded)})},
                  {"stopped", json_boolean(s->stopped)});
}

static const char *relation_name(enum relation relation)
{
    static const char *const names[] = {[RELATION_SAME] = "same",
                                        [RELATION_EXECUTED] = "executed",
                                        [RELATION_OTHER] = "other",
                                        [RELATION_UNKNOWN] = "unknown"};

    return names[relation];
}

static json_t *ledger_object(const struct comparison *c)
{
    struct member members[ACCOUNT_COUNT + 1];
    size_t count = ACCOUNT_COUNT;

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        members[i] = (struct member){
            account_name((enum account)i),
            amounts(amount(c->before->ledger.bytes[i]), amount(c->after->ledger.bytes[i]))};
    if (c->before->other_accounts || c->after->other_accounts)
        members[count++] = (struct member){
            "other", amounts(amount(c->before->other_accounts), amount(c->after->other_accounts))};
    return json_object_of(members, count);
}

typedef json_t *make_item(const struct comparison *c, size_t index);

static json_t *array_of(const struct comparison *c, size_t count, make_item *make)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, make(c, i)) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *owner_object(const struct comparison *c, size_t index)
{
    const struct owner_pair *pair = &c->owners.items[index];
    const struct snapshot_owner *owner = owner_of(pair);

    return OBJECT({"name", json_text(owner->name)}, {"version", json_text_if(owner->version)},
                  {"bytes", amounts(amount(pair->before ? pair->before->bytes : 0),
                                    amount(pair->after ? pair->after->bytes : 0))});
}

static json_t *free_object(const struct arena_pair *pair)
{
    struct member members[ARENA_FIGURES];
    size_t count = 0;

    for (unsigned i = 0; i < ARENA_FIGURES; i++)
        if (arena_keys[i].object)
            members[count++] =
                (struct member){arena_keys[i].key, amounts(arena_amount(pair->before, i),
                                                           arena_amount(pair->after, i))};
    return json_object_of(members, count);
}

static json_t *arena_object(const struct comparison *c, size_t index)
{
    const struct arena_pair *pair = &c->arenas.items[index];
    const struct snapshot_arena *arena = pair->after ? pair->after : pair->before;
    json_t *object =
        OBJECT({"address", json_address(arena->address)}, {"main", json_boolean(arena->main)},
               {"came", json_boolean(!pair->before)}, {"went", json_boolean(!pair->after)},
               {"free_bytes", free_object(pair)});
    bool done = object != NULL;

    for (unsigned i = 0; done && i < ARENA_FIGURES; i++)
        if (!arena_keys[i].object)
            done = set(object, arena_keys[i].key,
                       amounts(arena_amount(pair->before, i), arena_amount(pair->after, i)));
    if (done)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *mmapped_object(const struct comparison *c)
{
    struct member members[FIGURE_COUNT];
    size_t count = 0;

    for (size_t i = 0; i < FIGURE_COUNT; i++)
        if (snapshot_keys[i].object)
            members[count++] = (struct member){
                snapshot_keys[i].key, amounts(c->before->figures[i], c->after->figures[i])};
    return json_object_of(members, count);
}

/* What a setting was and is: as "residue.why/1" tells it. */
static json_t *setting_value(unsigned setting, struct amount value)
{
    if (value.known && setting == SETTING_DYNAMIC_THRESHOLD)
        return json_boolean(value.value);
    return json_amount_if(value.known, value.value);
}

static json_t *settings_object(const struct comparison *c)
{
    struct member members[SETTING_COUNT + 1];

    for (size_t i = 0; i < SETTING_COUNT; i++)
        members[i] =
            (struct member){setting_keys[i].key,
                            OBJECT({"before", setting_value((unsigned)i, c->before->settings[i])},
                                   {"after", setting_value((unsigned)i, c->after->settings[i])})};
    members[SETTING_COUNT] = (struct member){"thp", OBJECT({"before", json_text_if(c->before->thp)},
                                                           {"after", json_text_if(c->after->thp)})};
    return json_object_of(members, SETTING_COUNT + 1);
}

static json_t *class_object(const struct comparison *c, size_t index)
{
    static const struct snapshot_class nothing;
    const struct class_pair *pair = &c->classes.items[index];
    const struct snapshot_class *before = pair->before ? pair->before : &nothing;
    const struct snapshot_class *after = pair->after ? pair->after : &nothing;

    return OBJECT(
        {"least_bytes", json_amount(pair->after ? after->least_bytes : before->least_bytes)},
        {"blocks", amounts(amount(before->blocks), amount(after->blocks))},
        {"bytes", amounts(amount(before->bytes), amount(after->bytes))});
}

static json_t *finding_object(const struct comparison *c, size_t index)
{
    const struct finding_pair *pair = &c->findings.items[index];
    const struct snapshot_finding *finding = pair->after ? pair->after : pair->before;

    return OBJECT({"id", json_text(finding->id)}, {"because", json_text(finding->because)},
                  {"came", json_boolean(!pair->before)}, {"went", json_boolean(!pair->after)},
                  {"bytes", amounts(amount(pair->before ? pair->before->bytes : 0),
                                    amount(pair->after ? pair->after->bytes : 0))});
}

static json_t *refusals_array(const struct snapshot *s)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < s->refusals.count; i++) {
        json_t *object = OBJECT({"what", json_text(s->refusals.items[i].what)},
                                {"reason", json_text(s->refusals.items[i].reason)});

        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

/* The account that grew most, or, where RSS fell, shrank most. */
static json_t *leading_account(const struct comparison *c)
{
    struct compare_rows rows = compare_rows_of(c);
    size_t row = compare_leading_row(&rows);
    unsigned account = row < rows.changes.count ? rows.rows[row].account : ACCOUNT_OTHERS;

    return account < ACCOUNT_COUNT ? json_string(account_name(account)) : json_null();
}

static bool set_figures(json_t *object, const struct comparison *c)
{
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        if (!snapshot_keys[i].object && !set(object, snapshot_keys[i].key,
                                             amounts(c->before->figures[i], c->after->figures[i])))
            return false;
    return true;
}

static json_t *compare_object(const struct comparison *c)
{
    json_t *object = OBJECT(
        {"format", json_string("residue.why-compare/1")},
        {"relation", json_string(relation_name(c->relation))}, {"before", look_object(c->before)},
        {"after", look_object(c->after)},
        {"interval_ns", c->interval_known ? json_integer(c->interval_ns) : json_null()},
        {"leading_account", leading_account(c)}, {"ledger", ledger_object(c)},
        {"unexplained_by", array_of(c, c->owners.count, owner_object)},
        {"live_blocks", amounts(snapshot_live_blocks(c->before), snapshot_live_blocks(c->after))},
        {"live_bytes", amounts(snapshot_live_bytes(c->before), snapshot_live_bytes(c->after))},
        {"size_classes", array_of(c, c->classes.count, class_object)},
        {"mmapped_chunks", mmapped_object(c)},
        {"arenas",
         c->relation == RELATION_SAME ? array_of(c, c->arenas.count, arena_object) : json_null()},
        {"settings", settings_object(c)},
        {"findings", array_of(c, c->findings.count, finding_object)},
        {"refusals",
         OBJECT({"before", refusals_array(c->before)}, {"after", refusals_array(c->after)})});

    if (object && set_figures(object, c))
        return object;
    json_decref(object);
    return NULL;
}

int report_compare_json(const struct compare_report *report, FILE *out)
{
    return print_json(compare_object(report->comparison), out);
}
