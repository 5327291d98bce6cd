/* What a verb that changes a process does for its sake before it begins. */
#pragma once

#include <stdatomic.h>

/*
 * SIGINT, SIGTERM and SIGHUP no longer end us: what is under way is finished and told. Whoever picks processes to end when
 * memory runs out is asked to leave us out, which needs CAP_SYS_RESOURCE and is not insisted on: a process and the tracer
 * that outlives it (target/tracer.h) share their memory, so that both would go at once. Returns whether such a signal has
 * come.
 */
const atomic_bool *begin_acting(void);
