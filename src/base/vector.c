#include "base/vector.h"

#include <stdint.h>

int vector_reserve_one(void **items, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown;

    if (count < *capacity)
        return 0;
    if (wanted > SIZE_MAX / size)
        return -ENOMEM;
    grown = realloc(*items, wanted * size);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}
