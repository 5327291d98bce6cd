/* Images of real processes, and references in them, against what other tools say of them. */
#include <dlfcn.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "elf/test-file.h"
#include "elf/test-process.h"
#include "elf/test-self.h"
#include "mem/fake.h"
#include "test-victims.h"

static void test_own_images(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0),
                     *vdso = image_named(&images, "[vdso]", 0);
    Dl_info info;

    assert_non_null(libc);
    assert_non_null(vdso);
    assert_non_null(vdso->elf);
    assert_null(image_named(&images, "/libc.so.6", 1));
    for (size_t i = 0; i < images.count; i++)
        if (!images.items[i].elf)
            fail_msg("%s: %s", images.items[i].path, images.items[i].open_failure);
    assert_true(dladdr((void *)(uintptr_t)test_own_images, &info) != 0);
    struct elf_image *own = elf_images_find(&images, (remote_addr)(uintptr_t)test_own_images);
    assert_non_null(own);
    assert_true(own->range.start == (uint64_t)(uintptr_t)info.dli_fbase);
    assert_null(elf_images_find(&images, (remote_addr)(uintptr_t)&info));
    assert_null(elf_images_find(&images, 0));
}
struct references {
    struct range function;
    size_t inside, outside;
};

static int count_reference(void *context, remote_addr where)
{
    struct references *references = context;

    if (range_holds(references->function, where, 4))
        references->inside++;
    else
        references->outside++;
    return 0;
}

static void start(struct victim *victim, const char *path, const char *how)
{
    const char *const arguments[] = {path, how, NULL};

    victim_start(victim, path, arguments, true);
    victim_open(victim);
}

/* One instruction reads the variable, three write it with immediates of 1, 2 and 4 bytes behind its
 * address. */
static void test_references(void **state)
{
    struct victim victim;
    struct references references = {.inside = 0};

    start(&victim, VICTIM, "variable");
    struct elf_image *image = elf_images_find(&victim.images, victim.named[1]);
    struct range variable = {victim.named[0] + 4, victim.named[0] + 8};
    assert_int_equal(elf_function_at(image, victim.named[1], &references.function), 0);
    assert_int_equal(elf_each_reference(image, variable, count_reference, &references), 0);
    assert_true(references.inside >= 4 && references.inside <= 6);
    assert_true(references.outside < 10);
    references = (struct references){.function = references.function};
    variable = (struct range){0x10000, 0x20000};
    assert_int_equal(elf_each_reference(image, variable, count_reference, &references), 0);
    assert_int_equal(references.inside + references.outside, 0);
    victim_end(&victim);
}

/* The same library loaded in two namespaces is two images. */
static void test_library_loaded_twice(void **state)
{
    struct victim victim;
    remote_addr one, two;

    start(&victim, VICTIM, "dlmopen");
    struct elf_image *first = elf_images_find(&victim.images, victim.named[0]);
    struct elf_image *second = elf_images_find(&victim.images, victim.named[1]);
    assert_true(first && second && first != second);
    assert_string_equal(first->path, second->path);
    assert_int_equal(elf_dynamic_symbol(first, "cbrt", &one, NULL), 0);
    assert_int_equal(elf_dynamic_symbol(second, "cbrt", &two, NULL), 0);
    assert_true((one == victim.named[0] && two == victim.named[1]));
    assert_non_null(image_named(&victim.images, "/libc.so.6", 1));
    assert_null(image_named(&victim.images, "/libc.so.6", 2));
    victim_end(&victim);
}

/* A static program is loaded where it is linked; the vDSO comes without help of a file. */
static void test_static_program(void **state)
{
    struct victim victim;
    struct range range;

    start(&victim, VICTIM_STATIC, "read");
    struct elf_image *image = elf_images_find(&victim.images, victim.named[0]);
    assert_non_null(image);
    assert_true(image->bias == 0);
    assert_int_equal(elf_function_at(image, victim.named[0], &range), 0);
    assert_true(range.start == victim.named[0]);
    assert_int_equal(victim.images.count, 2);
    victim_end(&victim);
}

/* Read-only or whole mappings of a library are data, even next to code. */
static void test_mapped_as_data(void **state)
{
    int fd = open(test_libc_path(), O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct elf_images again;
    struct maps now;
    struct why why = {{0}};

    assert_int_equal(fstat(fd, &st), 0);
    size_t size = align_up((uint64_t)st.st_size, PAGE_BYTES);
    char *room =
        mmap(NULL, size + PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(room != MAP_FAILED);
    void *whole = mmap(room, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    assert_true(whole == room);
    assert_int_equal(maps_read(&procfs, getpid(), &now, &why), 0);
    assert_int_equal(elf_images_open(&procfs, getpid(), &now, NULL, &again, &why), 0);
    assert_int_equal(again.count, images.count);
    assert_null(elf_images_find(&again, (remote_addr)(uintptr_t)whole));
    struct elf_image *vdso = image_named(&again, "[vdso]", 0);
    assert_true(vdso && !vdso->elf && vdso->open_failure);
    elf_images_close(&again);
    maps_free(&now);
    munmap(whole, size + PAGE_BYTES);
    close(fd);
}

static void copy_program(const char *from, const char *to)
{
    struct test_file file;
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    test_file_load(&file, from);
    assert_int_equal(write(fd, file.bytes, file.size), file.size);
    close(fd);
    free(file.bytes);
}

/* A tree in which the process has no map_files, as for those who may not open them. */
static void make_tree(char *root, const struct victim *victim, const char *program)
{
    char path[200], name[40];

    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/proc", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/proc/%d", root, victim->pid);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(name, sizeof name, "/root");
    strcat(path, "/root");
    assert_int_equal(symlink("/", path), 0);
    if (program) {
        snprintf(path, sizeof path, "%s/proc/%d/exe", root, victim->pid);
        snprintf(name, sizeof name, "/proc/%d/exe", victim->pid);
        assert_int_equal(symlink(name, path), 0);
    }
}

static void remove_tree(const char *root, const struct victim *victim)
{
    static const char *const parts[] = {"/exe", "/root", ""};
    char path[200];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/proc/%d%s", root, victim->pid, parts[i]);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/proc", root);
    remove(path);
    remove(root);
}

/* What is told of the program when map_files is closed to us. */
static void check_program(struct victim *victim, const char *with_exe, bool hide_deletion,
                          bool opens, const char *failure)
{
    char root[] = "/tmp/residue-elf-XXXXXX";
    struct procfs fake;
    struct elf_images found;
    struct maps now;
    struct why why = {{0}};

    make_tree(root, victim, with_exe);
    assert_int_equal(maps_read(&procfs, victim->pid, &now, &why), 0);
    for (size_t i = 0; i < now.count; i++)
        now.items[i].deleted &= !hide_deletion;
    assert_int_equal(procfs_open(&fake, root, &why), 0);
    assert_int_equal(elf_images_open(&fake, victim->pid, &now, NULL, &found, &why), 0);
    struct elf_image *program = elf_images_find(&found, victim->named[0]);
    assert_non_null(program);
    assert_true((program->elf != NULL) == opens);
    if (failure)
        assert_non_null(strstr(program->open_failure, failure));
    assert_non_null(image_named(&found, "/libc.so.6", 0)->elf);
    elf_images_close(&found);
    procfs_close(&fake);
    maps_free(&now);
    remove_tree(root, victim);
}

static void test_replaced_and_deleted_files(void **state)
{
    char path[] = "/tmp/residue-elf-XXXXXX";
    struct victim victim;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    copy_program(VICTIM, path);
    start(&victim, path, "read");
    check_program(&victim, NULL, false, true, NULL);
    unlink(path);
    copy_program(VICTIM, path); /* another file of that name */
    check_program(&victim, NULL, false, false, "replaced on disk");
    check_program(&victim, NULL, true, false, "replaced on disk"); /* told by the file itself */
    check_program(&victim, "exe", false, true, NULL);
    unlink(path);
    check_program(&victim, NULL, false, false, "deleted");

    struct elf_images again;
    struct maps now;
    assert_int_equal(maps_read(&procfs, victim.pid, &now, NULL), 0);
    assert_int_equal(elf_images_open(&procfs, victim.pid, &now, NULL, &again, NULL), 0);
    struct elf_image *program = elf_images_find(&again, victim.named[0]);
    assert_true(program && program->elf);
    elf_images_close(&again);
    maps_free(&now);
    victim_end(&victim);
}

/* A process whose vDSO has these bytes and page states. */
static void open_fake_vdso(const struct vma *own, uint8_t *bytes, uint8_t *flags,
                           struct elf_images *ret)
{
    size_t pages = range_length(own->range) / PAGE_BYTES;
    struct fake_extent extent = {
        .start = 0x7fff00000000, .pages = pages, .bytes = bytes, .flags = flags};
    struct fake_memory fake;
    struct maps fake_maps;
    char text[200];

    snprintf(text, sizeof text, "7fff00000000-%lx r-xp 00000000 00:00 0 [vdso]\n",
             extent.start + pages * PAGE_BYTES);
    assert_int_equal(maps_parse(text, strlen(text), &fake_maps, NULL), 0);
    fake_memory_init(&fake, &extent, 1);
    assert_int_equal(elf_images_open(&procfs, getpid(), &fake_maps, &fake.memory, ret, NULL), 0);
    assert_int_equal(fake.reads_of_absent, 0);
    assert_int_equal(ret->count, 1);
    maps_free(&fake_maps);
}

/* A page that the process never used is taken from our own vDSO, when the two are the same by all
 * that can be seen. */
static void test_vdso_in_parts(void **state)
{
    const struct vma *own = maps_find(&maps, image_named(&images, "[vdso]", 0)->range.start);
    size_t size = range_length(own->range), pages = size / PAGE_BYTES;
    uint8_t *bytes = malloc(size), flags[16];
    struct elf_images found;
    char hex[41];

    assert_true(pages >= 2 && pages <= 16);
    memcpy(bytes, (const void *)(uintptr_t)own->range.start, size);
    memset(flags, PAGE_PRESENT, sizeof flags);
    open_fake_vdso(own, bytes, flags, &found);
    assert_non_null(found.items[0].elf);
    assert_int_equal(elf_build_id(&found.items[0], hex, sizeof hex), 0);
    elf_images_close(&found);

    flags[pages - 1] = 0;
    open_fake_vdso(own, bytes, flags, &found);
    assert_non_null(found.items[0].elf);
    assert_memory_equal(found.items[0].copy, (const void *)(uintptr_t)own->range.start, size);
    elf_images_close(&found);

    bytes[PAGE_BYTES - 1] ^= 1; /* another kernel's */
    open_fake_vdso(own, bytes, flags, &found);
    assert_null(found.items[0].elf);
    assert_non_null(strstr(found.items[0].open_failure, "not in memory"));
    elf_images_close(&found);
    free(bytes);
}

static void expect_refusal(const struct test_file *file, const char *because)
{
    struct elf_image image = {.path = NULL};
    struct why why = {{0}};

    assert_int_equal(elf_image_attach(&image, test_file_descriptor(file), &why),
                     OUTCOME_LAYOUT_UNKNOWN);
    assert_non_null(strstr(why.text, because));
    assert_null(image.elf);
    elf_image_release(&image);
}

static void test_files_that_are_refused(void **state)
{
    struct test_file file;

    test_file_load(&file, VICTIM);
    Elf64_Ehdr *header = (Elf64_Ehdr *)file.bytes, whole = *header;
    header->e_phnum = PN_XNUM;
    expect_refusal(&file, "counts");
    *header = whole;
    header->e_shnum = 0;
    expect_refusal(&file, "counts");
    *header = whole;
    header->e_machine = EM_AARCH64;
    expect_refusal(&file, "another machine");
    *header = whole;
    header->e_type = ET_REL;
    expect_refusal(&file, "neither");
    *header = whole;
    header->e_ident[0] = 'M';
    expect_refusal(&file, "not an ELF file");
    free(file.bytes);
}

/* Known to be an image, and nothing more. */
static void test_32_bit_image(void **state)
{
    Elf32_Ehdr *header = calloc(1, PAGE_BYTES);
    Elf32_Phdr *segment = (Elf32_Phdr *)(header + 1);
    struct test_file file = {.bytes = (uint8_t *)header, .size = PAGE_BYTES};
    struct elf_image image;
    struct range range;
    remote_addr address;
    char text[20];
    struct references none = {.inside = 0};

    *header = (Elf32_Ehdr){.e_type = ET_DYN,
                           .e_machine = EM_386,
                           .e_version = EV_CURRENT,
                           .e_phoff = sizeof *header,
                           .e_ehsize = sizeof *header,
                           .e_phentsize = sizeof *segment,
                           .e_phnum = 1};
    memcpy(header->e_ident, ELFMAG "\1\1\1", 7);
    *segment = (Elf32_Phdr){
        .p_type = PT_LOAD, .p_filesz = PAGE_BYTES, .p_memsz = PAGE_BYTES, .p_flags = PF_R | PF_X};
    strcpy((char *)header + 500, "version 1.2");
    test_file_open(&file, &image);
    assert_true(image.is_32_bit);
    assert_int_equal(elf_dynamic_symbol(&image, "malloc", &address, NULL), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_each_tls_slot(&image, count_reference, &none), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_function_at(&image, 500, &range), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_find_text(&image, "version", text, sizeof text), 0);
    assert_string_equal(text, "version 1.2");
    elf_image_release(&image);
    free(header);
}

static void test_process_that_is_gone(void **state)
{
    static const char text[] =
        "555555554000-555555556000 r-xp 00000000 fe:00 1234 /nowhere/program\n";
    struct maps gone;
    struct elf_images found;
    struct why why = {{0}};

    assert_int_equal(maps_parse(text, strlen(text), &gone, &why), 0);
    assert_int_equal(elf_images_open(&procfs, 0x7ffffff0, &gone, NULL, &found, &why), -ESRCH);
    assert_non_null(strstr(why.text, "gone"));
    assert_int_equal(elf_images_open(&procfs, getpid(), &gone, NULL, &found, &why), 0);
    assert_int_equal(found.count, 1);
    assert_null(found.items[0].elf);
    elf_images_close(&found);
    maps_free(&gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_images),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_library_loaded_twice),
        cmocka_unit_test(test_static_program),
        cmocka_unit_test(test_mapped_as_data),
        cmocka_unit_test(test_replaced_and_deleted_files),
        cmocka_unit_test(test_vdso_in_parts),
        cmocka_unit_test(test_files_that_are_refused),
        cmocka_unit_test(test_32_bit_image),
        cmocka_unit_test(test_process_that_is_gone),
    };

    return cmocka_run_group_tests_name("elf images", tests, open_self, close_self);
}
