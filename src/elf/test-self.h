/* This very process, as the tests look at it. */
#pragma once

#include "elf/image.h"
#include "mem/live.h"
#include "procfs/maps.h"

extern struct procfs procfs;
extern struct maps maps;
extern struct live_memory memory;
extern struct elf_images images;

/* Group setup and teardown. */
int open_self(void **state);
int close_self(void **state);

/* The image whose path has `part` in it, after `skip` others; or NULL. */
struct elf_image *image_named(struct elf_images *list, const char *part, size_t skip);
