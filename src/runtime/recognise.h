/* Language runtimes in a process, and with the allocators all who keep memory in it. */
#pragma once

#include "heap/recognise.h"
#include "procfs/maps.h"

/*
 * Everyone whom `images` show, runtimes first; `maps` adds those that only the names of their mappings give away.
 * Reads files, and of the process a few words only (`memory`, which may be NULL): it need not be stopped for this.
 * Release with owners_free. 0 or negative errno.
 */
int owners_recognise(struct elf_images *images, const struct maps *maps, struct memory *memory, struct owners *ret)
    must_check;

/* Whose mappings have names like this one's ("[anon: Go: heap]"), or NULL. */
const char *owner_by_mapping_name(const char *name);
