/* A sink that hands everything to several sinks. */
#pragma once

#include "heap/heap.h"

enum { FAN_MOST = 4 };

/* The sinks stay the caller's. NULL when memory is short. Release with fan_sink_free. */
struct span_sink *fan_sink_new(struct span_sink *const *sinks, size_t count);
void fan_sink_free(struct span_sink *sink);
