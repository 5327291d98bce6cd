#include "report/values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "report/foreign.h"

json_t *json_object_of(const struct member *members, size_t count)
{
    json_t *object = json_object();
    bool failed = !object;

    for (size_t i = 0; i < count; i++) {
        if (failed)
            json_decref(members[i].value);
        else
            failed = json_object_set_new(object, members[i].key, members[i].value) != 0;
    }
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

json_t *json_amount(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *json_amount_if(bool known, uint64_t value)
{
    return known ? json_amount(value) : json_null();
}

json_t *json_text(const char *text)
{
    auto_free char *valid = foreign_as_utf8(text);

    return valid ? json_string(valid) : NULL;
}

json_t *json_text_if(const char *text)
{
    return text && text[0] ? json_text(text) : json_null();
}

json_t *json_address(remote_addr address)
{
    return json_sprintf("0x%" PRIx64, address);
}

int print_json(json_t *value, FILE *out)
{
    int r;

    if (!value)
        return -ENOMEM;
    /* ASCII: a C1 control character in a name is valid JSON and a command to a terminal. */
    r = json_dumpf(value, out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    json_decref(value);
    if (r || fputc('\n', out) == EOF || fflush(out))
        return -EIO;
    return 0;
}
