/* Transparent huge page settings of the system. */
#pragma once

#include "procfs/procfs.h"

struct thp_settings {
    char enabled[16];         /* "always", "madvise", "never", or "off" where the kernel has none */
    unsigned long max_ptes_none; /* khugepaged/max_ptes_none: 511 fills a huge page up from one live page */
    bool khugepaged_known;
};

/* Negative errno (-EBADMSG: not understood); a kernel without huge pages is "off", not an error. */
int thp_settings_read(const struct procfs *procfs, struct thp_settings *ret) must_check;
