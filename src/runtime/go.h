#pragma once

#include "heap/recognise.h"

/* Whether the image is Go's; its version if it tells one ("" else). OUTCOME_NOT_FOUND when it is not. */
int go_build_version(struct elf_image *image, char *version) must_check;
