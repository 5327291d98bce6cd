/*
 * Splitting huge pages of another process from outside, without stopping it.
 *
 * process_madvise(MADV_COLD) on a part of a huge page makes the kernel split it (since 5.10), and the split maps the shared
 * zero page in the place of every page that holds nothing but zeros (since 6.12, b1f202060afe: remap_page with
 * RMP_USE_SHARED_ZEROPAGE). It does that with the pages unmapped, so that no write can come in between, and refuses a
 * page that is pinned or mapped by more than one process. The advice itself makes the pages old: khugepaged, which heeds
 * pages that were used, and would take our reading for use, then leaves them alone until the program uses them.
 */
#pragma once

#include "procfs/thp.h"
#include "target/target.h"

struct huge_page {
    remote_addr address;
    uint16_t pages;       /* of 4 KiB that are to go */
    bool first_is_zero;   /* which one of its pages the advice can leave out */
};

/*
 * Whether this kernel lets us split pages of `target`. 0; -EPERM (names the capability); OUTCOME_NOT_POSSIBLE.
 * Tried on ourselves too, where huge pages can be had, whether a split drops zeros: then that is OUTCOME_NOT_POSSIBLE.
 */
int split_check(const struct target *target, struct why *why) must_check;

/*
 * Whether this kernel makes huge pages where it is asked to: tried on ourselves. So that it can be a surprise only that it does
 * not make a certain one (no free memory in one piece).
 */
bool can_make_huge_pages(const struct procfs *procfs);

/*
 * Has the kernel make a huge page of the block at `address` (MADV_COLLAPSE, Linux 6.1; allowed on other processes since
 * then), if it is none yet. It checks that nothing is pinned. 0, whether it could or not; -EPERM, -ESRCH.
 */
int collapse_page(const struct target *target, remote_addr address, struct why *why) must_check;

enum { SPLIT_BATCH = 4 }; /* pages a call: it holds mmap_lock for all of them, some 0.5 ms each */

/*
 * Splits up to SPLIT_BATCH pages; what was split is for the caller to see in the page states. 0, whatever the kernel
 * made of each; -EPERM, -ESRCH.
 */
int split_pages(const struct target *target, const struct huge_page *pages, size_t count, struct why *why) must_check;
