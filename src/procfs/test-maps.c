#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "procfs/maps.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

static const char sample[] =
    "559d2aa74000-559d2aa76000 r--p 00000000 fe:00 332383                     /usr/bin/cat\n"
    "559d2aa76000-559d2aa7b000 r-xp 00002000 fe:00 332383                     /usr/bin/cat\n"
    "559d4aa76000-559d4aa97000 rw-p 00000000 00:00 0                          [heap]\n"
    "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
    "7f0000021000-7f0004000000 ---p 00000000 00:00 0 \n"
    "7f5ae4000000-7f5ae4001000 rw-s 123456789000 00:01 7                      /memfd:a b "
    "(deleted)\n"
    "7f5ae4001000-7f5ae4002000 rw-p 00000000 00:1d 18446744073709551615       /x/new\\012line "
    "\\040\n"
    "7f5ae4200000-7f5ae4400000 rw-p 00000000 00:0f 9               /anon_hugepage (deleted)\n"
    "7f5ae4935000-7f5ae4938000 rw-p 00000000 00:00 0                          [anon:my heap]\n"
    "7f5ae4938000-7f5ae493a000 r-xp 00000000 00:00 0                          [vdso]\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

static struct maps parse(const char *text)
{
    struct maps maps;
    struct why why = {""};
    int r = maps_parse(text, strlen(text), &maps, &why);

    if (r)
        print_error("%s\n", why.text);
    assert_int_equal(r, 0);
    return maps;
}

static void understands_lines(void **state)
{
    struct maps maps = parse(sample);
    const struct vma *v = maps.items;

    assert_int_equal(maps.count, 11);
    assert_true(v[0].range.start == 0x559d2aa74000 && v[0].range.end == 0x559d2aa76000);
    assert_true(v[0].readable && !v[0].writable && !v[0].executable && !v[0].shared);
    assert_true(v[1].executable && v[1].offset == 0x2000);
    assert_true(v[1].dev_major == 0xfe && v[1].dev_minor == 0 && v[1].inode == 332383);
    assert_string_equal(v[1].name, "/usr/bin/cat");
    assert_string_equal(v[3].name, "");
    assert_true(!v[4].readable && !v[4].writable);
    assert_true(v[5].shared && v[5].deleted && v[5].offset == 0x123456789000);
    assert_string_equal(v[5].name, "/memfd:a b");
    assert_true(v[7].hugetlb && v[7].deleted && !v[5].hugetlb && !v[0].deleted);
    assert_true(v[10].range.end == 0xffffffffff601000);
    maps_free(&maps);
    assert_null(maps.items);
}

/* Only the newline is escaped in maps, so a backslash followed by other digits is the file's own.
 */
static void unescapes_the_newline_only(void **state)
{
    struct maps maps = parse(sample);

    assert_string_equal(maps.items[6].name, "/x/new\nline \\040");
    assert_true(maps.items[6].inode == UINT64_MAX);
    maps_free(&maps);
}

static void classifies(void **state)
{
    static const bool anonymous[] = {0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0};
    static const bool special[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    static const bool shmem[] = {0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0};
    uint64_t device = 0x1d;
    struct shmem_devices devices = {.items = &device, .count = 1};
    struct maps maps = parse(sample);

    for (size_t i = 0; i < maps.count; i++) {
        assert_int_equal(vma_is_anonymous(&maps.items[i]), anonymous[i]);
        assert_int_equal(vma_is_special(&maps.items[i]), special[i]);
        assert_int_equal(vma_is_shmem(&maps.items[i], &devices), shmem[i]);
    }
    maps_free(&maps);
}

static void finds(void **state)
{
    struct maps maps = parse(sample), none = {0};

    assert_ptr_equal(maps_find(&maps, 0x559d2aa75fff), &maps.items[0]);
    assert_ptr_equal(maps_find(&maps, 0x559d2aa76000), &maps.items[1]);
    assert_ptr_equal(maps_find(&maps, 0x7f0000020fff), &maps.items[3]);
    assert_ptr_equal(maps_find(&maps, 0xffffffffff600000), &maps.items[10]);
    assert_null(maps_find(&maps, 0));
    assert_null(maps_find(&maps, 0x559d2aa7b000));
    assert_null(maps_find(&maps, UINT64_MAX));
    assert_int_equal(maps_index_above(&maps, 0), 0);
    assert_int_equal(maps_index_above(&maps, 0x559d2aa76000), 1);
    assert_int_equal(maps_index_above(&maps, 0x559d2aa7b000), 2);
    assert_int_equal(maps_index_above(&maps, UINT64_MAX), 11);
    assert_null(maps_find(&none, 5));
    assert_int_equal(maps_index_above(&none, 5), 0);
    maps_free(&maps);
}

static void refuses_and_quotes(void **state)
{
    static const char *const wrong[] = {
        "hello\n",
        "\n",
        "1000-2000\n",
        "1000 2000 r--p 0 0:0 0\n",
        "1000-2000 r--p 0 0:0\n",
        "1000-2000 r--p 0 0:0 \n",
        "1000-2000 r--p 0 00 0\n",
        "1000-2000 r--q 0 0:0 0\n",
        "1000-2000 rrxp 0 0:0 0\n",
        "1000-2000 r- 0 0:0 0\n",
        "1000-2000 r--p 0 0:0 0x\n",
        "1000-2000 r--p 0 0:0 18446744073709551616\n",
        "1000-2000 r--p 0 100000000:0 0\n",
        "1000-10000000000000000 r--p 0 0:0 0\n",
        "2000-1000 r--p 0 0:0 0\n",
        "1000-1000 r--p 0 0:0 0\n",
        "1000-2001 r--p 0 0:0 0\n",
        "1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n",
        "3000-4000 r--p 0 0:0 0\n1000-2000 r--p 0 0:0 0\n",
        "1000-2000 r--p 0 0:0 0 /cut/of",
        "1000-2000 r--p 0 0:0 0\n2000",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct maps maps = {.count = 42};
        struct why why = {""};

        assert_int_equal(maps_parse(wrong[i], strlen(wrong[i]), &maps, &why), -EBADMSG);
        assert_int_equal(maps.count, 42);
        assert_non_null(strchr(why.text, '"'));
        assert_null(strchr(why.text, '\n'));
    }
}

static void quotes_the_line_itself(void **state)
{
    struct maps maps;
    struct why why;
    const char nul[] = "1000-2000 r--p 0 0:0 1 /a\0b\n";
    char *long_line = malloc(70000);

    assert_int_equal(maps_parse("1-2 what\n", 9, &maps, &why), -EBADMSG);
    assert_non_null(strstr(why.text, "\"1-2 what\""));
    assert_int_equal(maps_parse(nul, sizeof nul - 1, &maps, &why), -EBADMSG);
    assert_non_null(strstr(why.text, "/a?b"));
    assert_non_null(long_line);
    memset(long_line, '\033', 70000);
    assert_int_equal(maps_parse(long_line, 70000, &maps, &why), -EBADMSG);
    assert_non_null(strstr(why.text, "???..."));
    free(long_line);
}

static void empty_text_has_no_mappings(void **state)
{
    struct maps maps;

    assert_int_equal(maps_parse("", 0, &maps, NULL), 0);
    assert_int_equal(maps.count, 0);
    maps_free(&maps);
}

/* Whatever comes out must hold what maps.h promises; the sanitizers watch the rest. */
static void check_promises(const struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++) {
        assert_true(maps->items[i].range.start < maps->items[i].range.end);
        assert_true(i == 0 || maps->items[i - 1].range.end <= maps->items[i].range.start);
        assert_true(strlen(maps->items[i].name) < sizeof sample);
    }
}

static void survives_hostile_text(void **state)
{
    uint64_t seed = 12345;

    for (int round = 0; round < 20000; round++) {
        char text[sizeof sample];
        struct maps maps;
        size_t length = sizeof sample - 1;

        memcpy(text, sample, sizeof sample);
        for (int i = 0; i < 1 + round % 4; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % length] = (char)(seed >> 25);
        }
        if (round % 3 == 0)
            length = (seed >> 40) % length;
        if (maps_parse(text, length, &maps, NULL) == 0) {
            check_promises(&maps);
            maps_free(&maps);
        }
    }
}

/* A parser that is not linear does not come to an end within the test's time. */
static void takes_a_million_mappings(void **state)
{
    enum { COUNT = 1000000 };
    size_t size = (size_t)COUNT * 64, length = 0;
    char *text = malloc(size);
    struct maps maps;

    assert_non_null(text);
    for (uint64_t i = 0; i < COUNT; i++)
        length +=
            (size_t)sprintf(text + length, "%lx-%lx r%c-p 0 00:00 0 \n", 0x7f0000000000 + i * 4096,
                            0x7f0000001000 + i * 4096, i % 2 ? 'w' : '-');
    assert_int_equal(maps_parse(text, length, &maps, NULL), 0);
    assert_int_equal(maps.count, COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_ptr_equal(maps_find(&maps, 0x7f0000000800 + i * 4096), &maps.items[i]);
    maps_free(&maps);
    free(text);
}

/* --- real processes ----------------------------------------------------------------------- */

static char *map_file(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *at;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    at = mmap(NULL, 4096, PROT_READ, flags, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    return at;
}

static char *map_memfd(void)
{
    int fd = memfd_create("test name", MFD_CLOEXEC);
    char *at;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    return at;
}

static const struct vma *at(const struct maps *maps, const char *pointer)
{
    const struct vma *vma = maps_find(maps, (uintptr_t)pointer);

    assert_non_null(vma);
    return vma;
}

static void reads_real_names(void **state)
{
    struct tree tree;
    char odd_path[PATH_MAX], gone_path[PATH_MAX];
    char *odd, *gone, *shared, *memfd, local;
    struct maps maps;
    struct shmem_devices devices;

    tree_make(&tree);
    snprintf(odd_path, sizeof odd_path, "%s/ a\nb\\012 (x)", tree.root);
    snprintf(gone_path, sizeof gone_path, "%s/gone file", tree.root);
    odd = map_file(odd_path, MAP_PRIVATE);
    gone = map_file(gone_path, MAP_SHARED);
    assert_int_equal(unlink(gone_path), 0);
    shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    memfd = map_memfd();

    assert_int_equal(maps_read(real_root(), getpid(), &maps, NULL), 0);
    assert_int_equal(shmem_devices_read(real_root(), getpid(), &devices), 0);
    /* "\012" of the name itself looks like the escape of a newline: maps does not tell them apart
     */
    snprintf(odd_path, sizeof odd_path, "%s/ a\nb\n (x)", tree.root);
    assert_string_equal(at(&maps, odd)->name, odd_path);
    assert_false(at(&maps, odd)->deleted);
    assert_string_equal(at(&maps, gone)->name, gone_path);
    assert_true(at(&maps, gone)->deleted && at(&maps, gone)->shared);
    assert_true(vma_is_shmem(at(&maps, shared), &devices));
    assert_true(vma_is_shmem(at(&maps, memfd), &devices));
    assert_string_equal(at(&maps, memfd)->name, "/memfd:test name");
    assert_false(vma_is_anonymous(at(&maps, shared)));
    assert_false(vma_is_anonymous(at(&maps, memfd)));
    assert_string_equal(at(&maps, &local)->name, "[stack]");
    assert_true(vma_is_anonymous(at(&maps, &local)));
    shmem_devices_free(&devices);
    maps_free(&maps);
    munmap(odd, 4096);
    munmap(gone, 4096);
    munmap(shared, 4096);
    munmap(memfd, 4096);
    tree_remove(&tree);
}

static void knows_files_on_a_tmpfs(void **state)
{
    char path[] = "/dev/shm/residue-test-XXXXXX", *mapped;
    int fd = mkstemp(path);
    struct maps maps;
    struct shmem_devices devices;

    if (fd < 0)
        skip();
    close(fd);
    mapped = map_file(path, MAP_PRIVATE);
    unlink(path);
    assert_int_equal(maps_read(real_root(), getpid(), &maps, NULL), 0);
    assert_int_equal(shmem_devices_read(real_root(), getpid(), &devices), 0);
    assert_true(devices.count > 0);
    assert_true(vma_is_shmem(at(&maps, mapped), &devices));
    assert_false(
        vma_is_shmem(at(&maps, (const char *)(uintptr_t)knows_files_on_a_tmpfs), &devices));
    shmem_devices_free(&devices);
    maps_free(&maps);
    munmap(mapped, 4096);
}

static void reads_mountinfo_of_a_tree(void **state)
{
    struct tree tree;
    struct shmem_devices devices = {.count = 42};
    struct vma vma = {.inode = 3, .dev_minor = 29, .name = "/r"};

    tree_make(&tree);
    tree_file(&tree, "proc/5/mountinfo",
              "23 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
              "24 1 0:29 / /run rw - tmpfs  rw,size=1k\n"
              "25 1 0:29 / /run/more\\040here rw master:1 propagate_from:2 - tmpfs none rw\n"
              "26 1 0:6 / /dev rw - devtmpfs dev rw\n"
              "27 1 0:7 / /r rw - ramfs ramfs rw\n");
    assert_int_equal(shmem_devices_read(&tree.procfs, 5, &devices), 0);
    assert_int_equal(devices.count, 2);
    assert_true(vma_is_shmem(&vma, &devices));
    vma.dev_minor = 7;
    assert_false(vma_is_shmem(&vma, &devices));
    shmem_devices_free(&devices);
    devices.count = 42;
    tree_file(&tree, "proc/5/mountinfo", "23 1 254:0 / / rw,relatime shared:1 ext4 /dev/root rw\n");
    assert_int_equal(shmem_devices_read(&tree.procfs, 5, &devices), -EBADMSG);
    tree_file(&tree, "proc/5/mountinfo", "23 1 254 / / rw - ext4 /dev/root rw\n");
    assert_int_equal(shmem_devices_read(&tree.procfs, 5, &devices), -EBADMSG);
    assert_int_equal(shmem_devices_read(&tree.procfs, 6, &devices), -ENOENT);
    assert_int_equal(devices.count, 42);
    tree_remove(&tree);
}

/* Every second page without access: mappings that the kernel cannot merge. */
static void shatter(void *context)
{
    char *area = mmap(NULL, 60000 * 4096ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        _exit(1);
    for (int i = 0; i < 60000; i += 2)
        if (mprotect(area + i * 4096ul, 4096, PROT_NONE) < 0)
            _exit(1);
}

static void reads_60000_real_mappings(void **state)
{
    struct victim victim;
    struct maps maps;
    struct why why = {""};

    victim_start(&victim, shatter, NULL);
    assert_int_equal(maps_read(real_root(), victim.pid, &maps, &why), 0);
    victim_kill(&victim);
    assert_true(maps.count > 60000);
    maps_free(&maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands_lines),
        cmocka_unit_test(unescapes_the_newline_only),
        cmocka_unit_test(classifies),
        cmocka_unit_test(finds),
        cmocka_unit_test(refuses_and_quotes),
        cmocka_unit_test(quotes_the_line_itself),
        cmocka_unit_test(empty_text_has_no_mappings),
        cmocka_unit_test(survives_hostile_text),
        cmocka_unit_test(takes_a_million_mappings),
        cmocka_unit_test(reads_real_names),
        cmocka_unit_test(knows_files_on_a_tmpfs),
        cmocka_unit_test(reads_mountinfo_of_a_tree),
        cmocka_unit_test(reads_60000_real_mappings),
    };

    return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
