/*
 * PAGEMAP_SCAN of <linux/fs.h>, since 6.7 (52526ca7fdb9): spelt out, because distributions build with older headers.
 * The names are our own, so that a newer header does not clash.
 */
#pragma once

#include <linux/ioctl.h>
#include <stdint.h>

struct scan_region {
    uint64_t start, end, categories;
};

struct scan_arg {
    uint64_t size, flags, start, end;
    uint64_t walk_end; /* out; stale when more than 512 regions were produced (seen up to 6.18) */
    uint64_t vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)

enum scan_category {
    SCAN_IS_FILE    = 1 << 2,
    SCAN_IS_PRESENT = 1 << 3,
    SCAN_IS_SWAPPED = 1 << 4, /* guard markers too (category of their own since 6.15) */
    SCAN_IS_PFNZERO = 1 << 5,
    SCAN_IS_HUGE    = 1 << 6,
};

/* An entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_PFN       ((UINT64_C(1) << 55) - 1) /* 0 without CAP_SYS_ADMIN */
#define PAGEMAP_EXCLUSIVE (UINT64_C(1) << 56)
#define PAGEMAP_FILE      (UINT64_C(1) << 61)
#define PAGEMAP_SWAPPED   (UINT64_C(1) << 62)
#define PAGEMAP_PRESENT   (UINT64_C(1) << 63)
