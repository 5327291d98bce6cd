#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf/test-self.h"

struct procfs procfs;
struct maps maps;
struct live_memory memory;
struct elf_images images;

int open_self(void **state)
{
    struct why why = {{0}};

    assert_int_equal(procfs_open(&procfs, "/", &why), 0);
    assert_int_equal(maps_read(&procfs, getpid(), &maps, &why), 0);
    assert_int_equal(live_memory_open(&memory, &procfs, getpid(), &why), 0);
    if (elf_images_open(&procfs, getpid(), &maps, &memory.memory, &images, &why) != 0)
        fail_msg("%s", why.text);
    return 0;
}

int close_self(void **state)
{
    elf_images_close(&images);
    live_memory_close(&memory);
    maps_free(&maps);
    procfs_close(&procfs);
    return 0;
}

struct elf_image *image_named(struct elf_images *list, const char *part, size_t skip)
{
    for (size_t i = 0; i < list->count; i++)
        if (strstr(list->items[i].path, part) && skip-- == 0)
            return &list->items[i];
    return NULL;
}
