#include "report/json-reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void reader_refuse(struct reader *reader, const struct place *place, const char *key,
                   const char *problem)
{
    if (!reader->error)
        reader->error = why_set(reader->why, OUTCOME_NOT_POSSIBLE,
                                "%.200s is not a report to compare with: %s%s %s", reader->name,
                                place->path, key, problem);
}

void reader_need(struct reader *reader, const void *memory)
{
    if (!memory && !reader->error)
        reader->error = why_set(reader->why, -ENOMEM, "out of memory");
}

/* NULL, and told, when it is missing. */
json_t *reader_value(struct reader *reader, const struct place *place, const char *key)
{
    json_t *value = reader->error ? NULL : json_object_get(place->object, key);

    if (!value)
        reader_refuse(reader, place, key, "is missing; residue why --json PID makes a new report");
    return value;
}

uint64_t reader_amount(struct reader *reader, const struct place *place, const char *key,
                       const json_t *value)
{
    if (!value)
        return 0;
    if (!json_is_integer(value))
        reader_refuse(reader, place, key, "is no integer");
    else if (json_integer_value(value) < 0)
        reader_refuse(reader, place, key, "is negative, which no amount can be");
    return reader->error ? 0 : (uint64_t)json_integer_value(value);
}

uint64_t take_amount(struct reader *reader, const struct place *place, const char *key)
{
    return reader_amount(reader, place, key, reader_value(reader, place, key));
}

/* null is what is not known. */
struct amount take_amount_if(struct reader *reader, const struct place *place, const char *key)
{
    const json_t *value = reader_value(reader, place, key);

    if (!value || json_is_null(value))
        return (struct amount){0};
    return (struct amount){true, reader_amount(reader, place, key, value)};
}

bool take_bool(struct reader *reader, const struct place *place, const char *key)
{
    const json_t *value = reader_value(reader, place, key);

    if (value && !json_is_boolean(value))
        reader_refuse(reader, place, key, "is neither true nor false");
    return value && json_is_true(value);
}

/* In fresh memory. NULL for null, where that is allowed. */
static char *text_of(struct reader *reader, const struct place *place, const char *key,
                     const json_t *value, bool may_be_null)
{
    char *copy;

    if (!value || (may_be_null && json_is_null(value)))
        return NULL;
    if (!json_is_string(value)) {
        reader_refuse(reader, place, key, "is no string");
        return NULL;
    }
    copy = strdup(json_string_value(value));
    reader_need(reader, copy);
    return copy;
}

char *take_text(struct reader *reader, const struct place *place, const char *key)
{
    return text_of(reader, place, key, reader_value(reader, place, key), false);
}

char *take_text_if(struct reader *reader, const struct place *place, const char *key)
{
    return text_of(reader, place, key, reader_value(reader, place, key), true);
}

struct place take_object(struct reader *reader, const struct place *place, const char *key)
{
    struct place inner = {.object = reader_value(reader, place, key)};

    if (inner.object && !json_is_object(inner.object))
        reader_refuse(reader, place, key, "is no object");
    snprintf(inner.path, sizeof inner.path, "%.60s%.30s.", place->path, key);
    return inner;
}

size_t take_count(struct reader *reader, const struct place *place, const char *key, size_t most)
{
    const json_t *value = reader_value(reader, place, key);

    if (value && !json_is_array(value))
        reader_refuse(reader, place, key, "is no list");
    else if (json_array_size(value) > most)
        reader_refuse(reader, place, key, "has more items than any report");
    return reader->error ? 0 : json_array_size(value);
}

struct place take_item(struct reader *reader, const struct place *place, const char *key,
                       size_t index)
{
    struct place item = {.object = json_array_get(json_object_get(place->object, key), index)};
    char name[64];

    snprintf(name, sizeof name, "%.30s[%zu]", key, index);
    if (!json_is_object(item.object))
        reader_refuse(reader, place, name, "is no object");
    snprintf(item.path, sizeof item.path, "%.30s%s.", place->path, name);
    return item;
}

/* "0x7f0000001c80" */
remote_addr take_address(struct reader *reader, const struct place *place, const char *key)
{
    auto_free char *text = take_text(reader, place, key);
    size_t digits =
        text && strncmp(text, "0x", 2) == 0 ? strspn(text + 2, "0123456789abcdefABCDEF") : 0;

    if (!text)
        return 0;
    if (digits == 0 || digits > 16 || text[2 + digits]) {
        reader_refuse(reader, place, key, "is no address");
        return 0;
    }
    return strtoull(text + 2, NULL, 16);
}

/* -ENOMEM of a vector_push. */
void reader_check(struct reader *reader, int r)
{
    if (r && !reader->error)
        reader->error = why_set(reader->why, r, "out of memory");
}
