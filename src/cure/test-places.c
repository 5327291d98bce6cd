/* Which mappings memory may be given back of. */
#include "cure/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "procfs/test-support.h"

static const char maps[] = "10000-20000 rw-p 00000000 00:00 0 \n"
                           "20000-30000 rw-p 00000000 00:00 0 [heap]\n"
                           "30000-40000 rw-p 00000000 08:01 77 /usr/lib/libc.so.6\n"
                           "40000-50000 rw-s 00000000 00:01 78 /dev/zero (deleted)\n"
                           "50000-60000 rw-p 00000000 00:00 0 \n"
                           "60000-70000 rw-p 00000000 00:00 0 \n"
                           "70000-80000 rw-p 00000000 00:00 0 \n"
                           "80000-90000 rw-p 00000000 00:00 0 \n"
                           "90000-a0000 rw-p 00000000 00:00 0 \n";
/* The mapping at 0x80000 has grown since. */
static const char smaps[] = "10000-20000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr mw me ac \n"
                            "20000-30000 rw-p 00000000 00:00 0 [heap]\nVmFlags: rd wr \n"
                            "30000-40000 rw-p 00000000 08:01 77 /usr/lib/libc.so.6\nVmFlags: rd\n"
                            "40000-50000 rw-s 00000000 00:01 78 /dev/zero (deleted)\nVmFlags: rd\n"
                            "50000-60000 rw-p 00000000 00:00 0 \nVmFlags: rd wr lo \n"
                            "60000-70000 rw-p 00000000 00:00 0 \nVmFlags: rd wr um \n"
                            "70000-80000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mt \n"
                            "80000-88000 rw-p 00000000 00:00 0 \nVmFlags: rd wr \n"
                            "90000-a0000 rw-p 00000000 00:00 0 \nVmFlags: rd ss \n";

static void read_all(struct cure_places *ret)
{
    struct tree tree;
    struct why why;

    tree_make(&tree);
    tree_file(&tree, "proc/5/maps", maps);
    tree_file(&tree, "proc/5/smaps", smaps);
    assert_int_equal(cure_places_read(&tree.procfs, 5, ret, &why), 0);
    tree_remove(&tree);
}

static void expect(const struct cure_places *places, remote_addr start, remote_addr end,
                   const char *part)
{
    const char *obstacle = cure_obstacle_in(places, (struct range){start, end});

    if (!part)
        assert_null(obstacle);
    else if (!obstacle || !strstr(obstacle, part))
        fail_msg("at %lx: %s, not %s", (unsigned long)start, obstacle, part);
}

static void only_plain_memory_may_go(void **state)
{
    struct cure_places places;

    read_all(&places);
    assert_int_equal(places.count, 7);
    expect(&places, 0x10000, 0x20000, NULL);
    expect(&places, 0x1f000, 0x21000, NULL); /* two neighbours */
    expect(&places, 0x2f000, 0x31000, "changed");
    expect(&places, 0x30000, 0x31000, "changed");
    expect(&places, 0x40000, 0x41000, "changed");
    expect(&places, 0x50000, 0x51000, "mlock");
    expect(&places, 0x60000, 0x61000, "userfaultfd");
    expect(&places, 0x70000, 0x71000, "tags");
    expect(&places, 0x80000, 0x81000, "changed");
    expect(&places, 0x90000, 0x91000, "shadow stack");
    expect(&places, 0x9f000, 0xa1000, "shadow stack");
    expect(&places, 0xa0000, 0xa1000, "changed");
    assert_null(cure_place_at(&places, 0x30000));
    assert_int_equal(cure_place_at(&places, 0x2ffff)->range.start, 0x20000);
    free(places.items);
}

static void an_obstacle_to_all(void **state)
{
    struct cure_places places;

    read_all(&places);
    cure_places_obstruct(&places, "no");
    expect(&places, 0x10000, 0x20000, "no");
    free(places.items);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_memory_may_go),
        cmocka_unit_test(an_obstacle_to_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
