/*
 * glibc's thread descriptor (struct pthread), which the thread pointer points to.
 *
 * It holds stackblock, stackblock_size, guardsize and reported_guardsize in a row (nptl/descr.h, since 2.34; before
 * as well), at an offset that differs between versions. The offset is found by what the four words must satisfy:
 *
 *   - the block is mapped without a gap, and writable above the guard
 *   - it holds the thread pointer near its end, or the stack pointer (allocate_stack puts the descriptor on top)
 *   - the guard is whole pages, smaller than the block, and no smaller than the one reported; a block with a guard is
 *     glibc's own and starts on a page
 */
#pragma once

#include "mem/memory.h"
#include "procfs/maps.h"

/*
 * The stack of the thread, guard excluded. 0; OUTCOME_NOT_FOUND unless exactly one place fits; negative errno.
 */
int descriptor_find_stack(struct memory *memory, const struct maps *maps, remote_addr thread_pointer,
                          remote_addr sp, struct range *ret, struct why *why) must_check;
