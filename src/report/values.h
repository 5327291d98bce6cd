/*
 * Values of the JSON reports. NULL means that memory is short, and makes what it would be a part of NULL. Whoever is
 * handed a value owns it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/range.h"

struct member {
    const char *key;
    json_t *value;
};

/* Takes the values over. */
json_t *json_object_of(const struct member *members, size_t count);

#define OBJECT(...)                                                                                \
    json_object_of((const struct member[]){__VA_ARGS__},                                           \
                   sizeof((const struct member[]){__VA_ARGS__}) / sizeof(struct member))

/* Amounts beyond 2^63 - 1 are told as that. */
json_t *json_amount(uint64_t value);
json_t *json_amount_if(bool known, uint64_t value); /* null where not known */

/* Foreign text, as valid UTF-8. */
json_t *json_text(const char *text);
json_t *json_text_if(const char *text); /* null for what is NULL or empty */

json_t *json_address(remote_addr address); /* "0x..." */

/* Prints and releases `value`, and a newline behind it; ASCII only. 0; -ENOMEM for NULL; -EIO. */
int print_json(json_t *value, FILE *out) must_check;
