/* Whether nobody is in the middle of changing the heap. */
#pragma once

#include "heap/glibc/glibc.h"

/*
 * 0 when the stopped heap is consistent for sure; OUTCOME_TORN, with who is doing what, when it is or may be being
 * changed. With several threads every change of chunks and bins happens under the arena's lock, so free locks are
 * enough. A program that never had a second thread takes no lock (2.27, SINGLE_THREAD_P): its thread is
 * unwound to its start, and no frame may be inside malloc.
 */
int glibc_is_quiet(const struct heap_view *view, const struct glibc *glibc, struct why *why) must_check;
