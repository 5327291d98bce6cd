/* ELF files in memory, for tests to change. */
#pragma once

#include "elf/file.h"

struct test_file {
    uint8_t *bytes; /* the caller frees */
    size_t size;
};

const char *test_libc_path(void);
void test_file_load(struct test_file *file, const char *path);

/* A descriptor of a file that holds these bytes now. */
int test_file_descriptor(const struct test_file *file);

/* Attaches `image` to such a file, placed where it is linked; must succeed. */
void test_file_open(const struct test_file *file, struct elf_image *image);

/* Turns the program header of this type into one of none. */
bool test_file_hide_header(struct test_file *file, uint32_t type);
