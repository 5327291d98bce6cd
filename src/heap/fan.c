#include "heap/fan.h"

#include <stdlib.h>

struct fan {
    struct span_sink sink; /* first */
    struct span_sink *to[FAN_MOST];
    size_t count;
};

static const struct span_sink_ops fan_ops;

static struct fan *fan_of(struct span_sink *sink)
{
    return (struct fan *)sink;
}

static void fan_discard(struct span_sink *sink)
{
    struct fan *fan = fan_of(sink);

    for (size_t i = 0; i < fan->count; i++)
        if (fan->to[i])
            fan->to[i]->ops->discard(fan->to[i]);
    free(fan);
}

static struct span_sink *fan_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct fan *parent = fan_of(sink), *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->sink = parent->sink;
    child->count = parent->count;
    for (size_t i = 0; i < parent->count; i++) {
        child->to[i] = parent->to[i]->ops->fork(parent->to[i], region);
        if (!child->to[i]) {
            fan_discard(&child->sink);
            return NULL;
        }
    }
    return &child->sink;
}

static int fan_take(struct span_sink *sink, const struct page_window *window,
                    const struct heap_span *spans, size_t count)
{
    struct fan *fan = fan_of(sink);
    int r = 0;

    for (size_t i = 0; r == 0 && i < fan->count; i++)
        r = fan->to[i]->ops->take(fan->to[i], window, spans, count);
    return r;
}

/* Consumes the child whatever happens. */
static int fan_join(struct span_sink *sink, struct span_sink *joined)
{
    struct fan *parent = fan_of(sink), *child = fan_of(joined);
    int r = 0;

    for (size_t i = 0; i < parent->count; i++) {
        int one = parent->to[i]->ops->join(parent->to[i], child->to[i]);

        if (r == 0)
            r = one;
    }
    free(child);
    return r;
}

static const struct span_sink_ops fan_ops = {
    .fork = fan_fork, .take = fan_take, .join = fan_join, .discard = fan_discard};

struct span_sink *fan_sink_new(struct span_sink *const *sinks, size_t count)
{
    struct fan *fan = count <= FAN_MOST ? calloc(1, sizeof *fan) : NULL;

    if (!fan)
        return NULL;
    fan->sink = (struct span_sink){.ops = &fan_ops, .takes_runs = true};
    fan->count = count;
    for (size_t i = 0; i < count; i++) {
        fan->to[i] = sinks[i];
        fan->sink.takes_runs &= sinks[i]->takes_runs;
    }
    return &fan->sink;
}

void fan_sink_free(struct span_sink *sink)
{
    free(sink);
}
