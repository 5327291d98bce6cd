#include "base/gaps.h"

#include <string.h>

static struct range item_at(const struct gap_cursor *cursor, size_t index)
{
    struct range range;

    memcpy(&range, cursor->items + index * cursor->stride, sizeof range);
    return range;
}

struct gap_cursor gaps_of(struct range outer, const void *items, size_t count, size_t stride)
{
    struct gap_cursor cursor = {.rest = outer, .items = items, .count = count, .stride = stride};
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (item_at(&cursor, middle).end <= outer.start)
            low = middle + 1;
        else
            high = middle;
    }
    cursor.next = low;
    return cursor;
}

bool gap_next(struct gap_cursor *cursor, struct range *ret_gap)
{
    while (cursor->rest.start < cursor->rest.end) {
        struct range gap = cursor->rest, taken;

        if (cursor->next == cursor->count) {
            cursor->rest.start = cursor->rest.end;
            *ret_gap = gap;
            return true;
        }
        taken = item_at(cursor, cursor->next);
        if (taken.end <= gap.start) {
            cursor->next++;
            continue;
        }
        if (taken.start >= gap.end) {
            cursor->rest.start = cursor->rest.end;
            *ret_gap = gap;
            return true;
        }
        cursor->rest.start = taken.end;
        cursor->next++;
        gap.end = taken.start;
        if (gap.start < gap.end) {
            *ret_gap = gap;
            return true;
        }
    }
    return false;
}
