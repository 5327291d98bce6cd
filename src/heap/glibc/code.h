/* Where malloc's code is, known without symbols. */
#pragma once

#include "heap/glibc/glibc.h"

/*
 * main_arena and mp_ are static to malloc.c, so what refers to them is malloc's, and so is what lies between. In a
 * library the exported functions tell about where that is; a static program exports none: there it is where most
 * functions are that refer to them. Far ones are chance (bytes are not disassembled). 0; OUTCOME_TORN with the reason
 * when it is not found; negative errno.
 */
int glibc_find_code(const struct glibc *glibc, const struct glibc_instance *instance, struct range *ret,
                    struct why *why) must_check;
