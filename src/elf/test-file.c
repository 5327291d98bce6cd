#include "elf/test-file.h"

#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

const char *test_libc_path(void)
{
    for (struct link_map *map = _r_debug.r_map; map; map = map->l_next)
        if (strstr(map->l_name, "/libc.so.6"))
            return map->l_name;
    fail_msg("this test is not linked to libc.so.6");
    return NULL;
}

void test_file_load(struct test_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    file->size = (size_t)st.st_size;
    file->bytes = malloc(file->size);
    assert_non_null(file->bytes);
    assert_int_equal(read(fd, file->bytes, file->size), file->size);
    close(fd);
}

int test_file_descriptor(const struct test_file *file)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, file->bytes, file->size), file->size);
    return fd;
}

void test_file_open(const struct test_file *file, struct elf_image *image)
{
    struct why why = {{0}};

    *image = (struct elf_image){0};
    if (elf_image_attach(image, test_file_descriptor(file), &why) != 0)
        fail_msg("%s", why.text);
    elf_image_place(image, 0);
}

bool test_file_hide_header(struct test_file *file, uint32_t type)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file->bytes;
    Elf64_Phdr *headers = (Elf64_Phdr *)(file->bytes + header->e_phoff);

    for (size_t i = 0; i < header->e_phnum; i++) {
        if (headers[i].p_type != type)
            continue;
        headers[i].p_type = PT_NULL;
        return true;
    }
    return false;
}
