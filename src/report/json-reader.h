/*
 * Reading JSON that may hold anything. Whatever does not fit is refused with one sentence that names the file and the
 * place in it; from then on nothing is looked at any more, and everything that is taken is empty. So a caller takes all it
 * wants and asks for the error at the end.
 */
#pragma once

#include <jansson.h>

#include "explain/snapshot.h"

struct reader {
    const char *name; /* of the file */
    struct why *why;
    int error;        /* 0; OUTCOME_NOT_POSSIBLE; -ENOMEM */
};

/* An object in it. Borrowed. */
struct place {
    json_t *object;
    char path[96]; /* "arenas[3].", or "" for the whole */
};

/* "FILE is not a report to compare with: PATH.KEY PROBLEM" */
void reader_refuse(struct reader *reader, const struct place *place, const char *key, const char *problem);

/* Takes note of a shortage of memory: that `memory` is NULL, or that an `error` came. */
void reader_need(struct reader *reader, const void *memory);
void reader_check(struct reader *reader, int error);

/* What is at `key`; NULL, and refused, when it is missing. */
json_t *reader_value(struct reader *reader, const struct place *place, const char *key);

/* `value`, which is at `key`, as an amount: an integer that is not negative. */
uint64_t reader_amount(struct reader *reader, const struct place *place, const char *key, const json_t *value);

/* What is at `key`, which must be there; with _if it may be null: not known, or NULL. Strings are in fresh memory. */
uint64_t take_amount(struct reader *reader, const struct place *place, const char *key);
struct amount take_amount_if(struct reader *reader, const struct place *place, const char *key);
bool take_bool(struct reader *reader, const struct place *place, const char *key);
char *take_text(struct reader *reader, const struct place *place, const char *key);
char *take_text_if(struct reader *reader, const struct place *place, const char *key);
remote_addr take_address(struct reader *reader, const struct place *place, const char *key);
struct place take_object(struct reader *reader, const struct place *place, const char *key);

/* A list of at most `most` items, which must be objects. */
size_t take_count(struct reader *reader, const struct place *place, const char *key, size_t most);
struct place take_item(struct reader *reader, const struct place *place, const char *key, size_t index);
