/*
 * Growing arrays without macros in their callers' way: declare
 *
 *     struct things { struct thing *items; size_t count, capacity; };
 *
 * and push with vector_push(&things, value). Items are released with free(things.items).
 */
#pragma once

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

/* Makes room for one more item of `size` bytes; 0 or -ENOMEM (nothing is lost then). */
int vector_reserve_one(void **items, size_t count, size_t *capacity, size_t size) must_check;

#define vector_push(vector, value)                                                                 \
    ({                                                                                             \
        __auto_type _v = (vector);                                                                 \
        int _r = vector_reserve_one((void **)&_v->items, _v->count, &_v->capacity,                 \
                                    sizeof *_v->items);                                            \
        if (_r == 0)                                                                               \
            _v->items[_v->count++] = (value);                                                      \
        _r;                                                                                        \
    })
