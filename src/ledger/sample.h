/* Testing the content of large memory at a bounded number of places. */
#pragma once

#include "runtime/content.h"

/* Of a range: as many bytes as lie in units that passed, and whether any did not. What is neither could not be told. */
struct sample_result {
    uint64_t fit_bytes;
    bool misfit;
};

struct sampler {
    struct memory *memory;
    uint64_t total_bytes; /* of all ranges that will come: the places are shared out by size */
    unsigned looks_left;
};

enum { SAMPLE_LOOKS = 4096 };

/*
 * A range is cut into units of 256 KiB (as many as its share allows; larger ones else), and one place of each looked
 * at; up to three more where nothing can be told. 0 or negative errno.
 */
int sample_range(struct sampler *sampler, const struct content_test *test, uint64_t stride, struct range range,
                 struct sample_result *ret) must_check;
