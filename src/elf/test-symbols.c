/* Symbols, relocations, build ids and texts of our own images, against what other tools say of
 * them. */
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
#include "elf/test-self.h"
#include "mem/fake.h"
#include "test-victims.h"

/* Whether one version of the symbol is chosen at run time: dlsym then gives the choice, and we the
 * chooser. */
static bool is_indirect(struct elf_image *libc, Elf_Data *data, const GElf_Shdr *header,
                        const char *name)
{
    GElf_Sym symbol;

    for (int i = 0; gelf_getsym(data, i, &symbol); i++)
        if (GELF_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC &&
            strcmp(elf_strptr(libc->elf, header->sh_link, symbol.st_name), name) == 0)
            return true;
    return false;
}

/* Every function and variable that libc exports in its default version is found where the linker
 * finds it. */
static void test_symbols_of_libc(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0);
    void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    unsigned checked = 0;
    GElf_Shdr header = {0};
    Elf_Scn *section = NULL;

    assert_non_null(handle);
    while ((section = elf_nextscn(libc->elf, section)) && gelf_getshdr(section, &header))
        if (header.sh_type == SHT_DYNSYM)
            break;
    Elf_Data *data = elf_getdata(section, NULL);
    for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
        GElf_Sym symbol;
        remote_addr address;
        uint64_t size;

        assert_non_null(gelf_getsym(data, (int)i, &symbol));
        unsigned type = GELF_ST_TYPE(symbol.st_info);
        if (symbol.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT))
            continue;
        const char *name = elf_strptr(libc->elf, header.sh_link, symbol.st_name);
        void *wanted = dlsym(handle, name);
        if (!wanted)
            continue; /* old versions only, or private */
        assert_int_equal(elf_dynamic_symbol(libc, name, &address, &size), 0);
        if (address != (remote_addr)(uintptr_t)wanted && !is_indirect(libc, data, &header, name))
            fail_msg("%s: 0x%lx is not 0x%lx", name, address, (unsigned long)(uintptr_t)wanted);
        checked++;
    }
    print_message("# %u symbols\n", checked);
    assert_true(checked > 1500);
    dlclose(handle);
}

static void test_symbols_that_are_not_there(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0),
                     *vdso = image_named(&images, "[vdso]", 0);
    struct elf_image closed = {.path = NULL};
    remote_addr address = 7;

    assert_int_equal(elf_dynamic_symbol(libc, "no_such_symbol", &address, NULL), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_dynamic_symbol(libc, "", &address, NULL), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_dynamic_symbol(libc, "errno", &address, NULL),
                     OUTCOME_NOT_FOUND); /* thread-local */
    assert_int_equal(elf_dynamic_symbol(libc, "GLIBC_2.2.5", &address, NULL), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_dynamic_symbol(&closed, "malloc", &address, NULL), OUTCOME_NOT_FOUND);
    assert_int_equal(address, 7);
    assert_int_equal(elf_dynamic_symbol(vdso, "__vdso_clock_gettime", &address, NULL), 0);
    assert_true(range_has(vdso->range, address));
}

/* Old and new versions of one name: the default one is taken, whichever comes first in the tables.
 */
static void test_default_version(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0);
    void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    remote_addr address;

    void *old = dlvsym(handle, "pthread_cond_wait", "GLIBC_2.2.5");
    void *now = dlvsym(handle, "pthread_cond_wait", "GLIBC_2.3.2");
    assert_true(old && now && old != now);
    assert_int_equal(elf_dynamic_symbol(libc, "pthread_cond_wait", &address, NULL), 0);
    assert_true(address == (remote_addr)(uintptr_t)now);
    dlclose(handle);
}

static void check_same_symbols(struct elf_image *one, struct elf_image *other)
{
    static const char *const names[] = {"malloc", "environ", "pthread_cond_wait",
                                        "__libc_single_threaded", "nothing"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        remote_addr a = 0, b = 0;
        uint64_t a_size = 0, b_size = 0;
        assert_int_equal(elf_dynamic_symbol(one, names[i], &a, &a_size),
                         elf_dynamic_symbol(other, names[i], &b, &b_size));
        assert_true(a == b && a_size == b_size);
    }
}

/* Turns one kind of entry of the dynamic section into DT_DEBUG, which says nothing. */
static void hide_dynamic(struct test_file *file, int64_t tag)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file->bytes;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)(file->bytes + header->e_phoff);

    for (size_t i = 0; i < header->e_phnum; i++)
        if (headers[i].p_type == PT_DYNAMIC)
            for (Elf64_Dyn *at = (Elf64_Dyn *)(file->bytes + headers[i].p_offset);
                 at->d_tag != DT_NULL; at++)
                if (at->d_tag == tag)
                    at->d_tag = DT_DEBUG;
}

/* Debian's libc has both hash tables; and a file may come without section headers. */
static void test_stripped_and_old_tables(void **state)
{
    struct test_file file;
    struct elf_image whole, changed;
    char id[41], other_id[41];
    struct range range;
    remote_addr address;

    test_file_load(&file, test_libc_path());
    test_file_open(&file, &whole);
    hide_dynamic(&file, DT_GNU_HASH);
    test_file_open(&file, &changed);
    check_same_symbols(&whole, &changed);
    elf_image_release(&changed);

    Elf64_Ehdr *header = (Elf64_Ehdr *)file.bytes;
    header->e_shoff = header->e_shnum = header->e_shstrndx = 0;
    test_file_open(&file, &changed);
    check_same_symbols(&whole, &changed);
    assert_int_equal(elf_build_id(&whole, id, sizeof id), 0);
    assert_int_equal(elf_build_id(&changed, other_id, sizeof other_id), 0);
    assert_string_equal(id, other_id);
    assert_int_equal(elf_dynamic_symbol(&changed, "malloc", &address, NULL), 0);
    assert_int_equal(elf_function_at(&changed, address + 5, &range), 0);
    assert_true(range.start == address);
    elf_image_release(&changed);

    hide_dynamic(&file, DT_HASH); /* and no hash table at all */
    test_file_open(&file, &changed);
    assert_int_equal(elf_dynamic_symbol(&changed, "malloc", &address, NULL), OUTCOME_NOT_FOUND);
    elf_image_release(&changed);
    elf_image_release(&whole);
    free(file.bytes);
}

static void test_build_id(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0);
    const void *id;
    char hex[41], wanted[41];
    ssize_t length = dwelf_elf_gnu_build_id(libc->elf, &id);

    assert_int_equal(length, 20);
    for (ssize_t i = 0; i < length; i++)
        snprintf(wanted + 2 * i, 3, "%02x", ((const uint8_t *)id)[i]);
    assert_int_equal(elf_build_id(libc, hex, sizeof hex), 0);
    assert_string_equal(hex, wanted);
    assert_int_equal(elf_build_id(libc, hex, 40), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_build_id(image_named(&images, "[vdso]", 0), hex, sizeof hex), 0);
}

static void test_text(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0);
    char text[64] = "kept", wanted[64];

    snprintf(wanted, sizeof wanted, "stable release version %d.%d", __GLIBC__, __GLIBC_MINOR__);
    assert_int_equal(elf_find_text(libc, "stable release version ", text, sizeof text), 0);
    assert_memory_equal(text, wanted, strlen(wanted));
    assert_int_equal(elf_find_text(libc, "stable release version ", text, 10), 0);
    assert_string_equal(text, "stable re");
    assert_int_equal(elf_find_text(libc, "stable release version x", text, sizeof text),
                     OUTCOME_NOT_FOUND);
    assert_string_equal(text, "stable re");
}

struct slots {
    remote_addr at[64];
    size_t count;
};

static int keep_slot(void *context, remote_addr slot)
{
    struct slots *slots = context;

    if (slots->count == 64)
        return -7;
    slots->at[slots->count++] = slot;
    return 0;
}

/* What libelf finds in the section of relocations. */
static size_t count_own_slots(struct elf_image *image)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    GElf_Rela rela;
    size_t count = 0;

    while ((section = elf_nextscn(image->elf, section)))
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_RELA)
            for (int i = 0; gelf_getrela(elf_getdata(section, NULL), i, &rela); i++)
                count +=
                    GELF_R_TYPE(rela.r_info) == R_X86_64_TPOFF64 && GELF_R_SYM(rela.r_info) == 0;
    return count;
}

/* Each holds the distance of a variable from the thread pointer: below it, and near. */
static void test_tls_slots(void **state)
{
    struct elf_image *libc = image_named(&images, "/libc.so.6", 0);
    struct slots slots = {.count = 0};

    assert_int_equal(elf_each_tls_slot(libc, keep_slot, &slots), 0);
    print_message("# %zu thread-local slots\n", slots.count);
    assert_int_equal(slots.count, count_own_slots(libc));
    assert_in_range(slots.count, 10, 25);
    for (size_t i = 0; i < slots.count; i++) {
        int64_t offset = *(const int64_t *)(uintptr_t)slots.at[i];
        assert_true(offset < 0 && offset > -65536);
    }
    slots.count = 64;
    assert_int_equal(elf_each_tls_slot(libc, keep_slot, &slots), -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols_of_libc), cmocka_unit_test(test_symbols_that_are_not_there),
        cmocka_unit_test(test_default_version), cmocka_unit_test(test_stripped_and_old_tables),
        cmocka_unit_test(test_build_id),        cmocka_unit_test(test_text),
        cmocka_unit_test(test_tls_slots),
    };

    return cmocka_run_group_tests_name("elf images", tests, open_self, close_self);
}
