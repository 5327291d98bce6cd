/* The line that maps and smaps share. */
#pragma once

#include "procfs/maps.h"
#include "procfs/parse.h"

/*
 * Parses one line. Everything but `name` and `deleted` is filled in; *ret_name is the raw name, still escaped, without
 * " (deleted)". False if the line cannot be understood.
 */
bool maps_line_parse(struct text line, struct vma *ret_vma, struct text *ret_name);
