/* Go's build information out of files made here: both forms, and what is broken or hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "elf/file.h"
#include "heap/version.h"
#include "runtime/go.h"

enum { FILE_BYTES = 8192, INFO_AT = 4096, STRING_AT = 6000, NAMES_AT = 512, SECTIONS_AT = 1024 };

static const char names[] = "\0.go.buildinfo\0.shstrtab";

struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    uint8_t rest[FILE_BYTES - sizeof(Elf64_Ehdr) - sizeof(Elf64_Phdr)];
};

/* One segment that is the whole file, at address 0, and the section. */
static struct file *make_file(void)
{
    struct file *file = calloc(1, sizeof *file);
    const Elf64_Shdr sections[] = {
        {0},
        {.sh_name = 1,
         .sh_type = SHT_PROGBITS,
         .sh_flags = SHF_ALLOC | SHF_WRITE,
         .sh_addr = INFO_AT,
         .sh_offset = INFO_AT,
         .sh_size = 256},
        {.sh_name = 15, .sh_type = SHT_STRTAB, .sh_offset = NAMES_AT, .sh_size = sizeof names},
    };

    assert_non_null(file);
    file->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof file->header,
        .e_shoff = SECTIONS_AT,
        .e_ehsize = sizeof file->header,
        .e_phentsize = sizeof file->segment,
        .e_phnum = 1,
        .e_shentsize = sizeof sections[0],
        .e_shnum = 3,
        .e_shstrndx = 2};
    file->segment = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_W,
                                 .p_filesz = FILE_BYTES,
                                 .p_memsz = FILE_BYTES,
                                 .p_align = 4096};
    memcpy((uint8_t *)file + NAMES_AT, names, sizeof names);
    memcpy((uint8_t *)file + SECTIONS_AT, sections, sizeof sections);
    memcpy((uint8_t *)file + INFO_AT, "\xff Go buildinf:\x08", 16);
    return file;
}

/* What is read of `file`, which this releases. */
static int read_version(struct file *file, char *version)
{
    struct elf_image image = {.fd = -1};
    int r;

    assert_int_equal(elf_image_attach_copy(&image, file, sizeof *file, NULL), 0);
    r = go_build_version(&image, version);
    elf_image_release(&image);
    return r;
}

static struct file *with_inline(const char *text, uint8_t length)
{
    struct file *file = make_file();
    uint8_t *info = (uint8_t *)file + INFO_AT;

    info[15] = 2;
    info[32] = length;
    memcpy(info + 33, text, strlen(text));
    return file;
}

static struct file *with_pointer(uint64_t pointer, uint64_t address, uint64_t length)
{
    struct file *file = make_file();
    uint8_t *info = (uint8_t *)file + INFO_AT;
    uint64_t string[2] = {address, length};

    memcpy(info + 16, &pointer, sizeof pointer);
    memcpy((uint8_t *)file + 5000, string, sizeof string);
    memcpy((uint8_t *)file + STRING_AT, "go1.16.15", 9);
    return file;
}

static void check(struct file *file, const char *expected)
{
    char version[VERSION_BYTES] = "untouched";

    assert_int_equal(read_version(file, version), 0);
    assert_string_equal(version, expected);
}

static void test_inline(void **state)
{
    (void)state;
    check(with_inline("go1.23.5", 8), "1.23.5");
    check(with_inline("go1.24.1 X:nocoverageredesign", 29), "1.24.1");
    check(with_inline("devel go1.25-0123456 Tue", 24), "");
    check(with_inline("", 0), "");
}

/* Lengths that reach beyond all bounds must neither crash nor give more than there is room for. */
static void test_inline_hostile(void **state)
{
    (void)state;
    char version[VERSION_BYTES];

    check(with_inline("go1.23.5\n", 9), "");
    check(with_inline("go1.23.5\x1b[31m", 13), "");
    check(with_inline("go1.23.5\xc3\xa9", 10), "");
    check(with_inline("go1.23.5", 127), ""); /* goes on in zeros */
    check(with_inline("go1.2345678901234567890123456789", 32), "1.2345678901234567890123456789");
    check(with_inline("go1.23456789012345678901234567890123456", 39), ""); /* more than fits */
    check(with_inline("go", 2), "");
    check(with_inline("go 1.23", 7), "");
    check(with_inline("g", 1), "");
    check(with_inline("gone", 4), "");
    assert_int_equal(read_version(with_inline("\x7fgo1.99", 0xff), version), 0);
    assert_true(strlen(version) < VERSION_BYTES);
    check(with_inline("\xff\xff\xff", 0xff), "");
}

static void test_pointer(void **state)
{
    (void)state;
    check(with_pointer(5000, STRING_AT, 9), "1.16.15");
    check(with_pointer(5000, STRING_AT, UINT64_MAX), ""); /* goes on in zeros */
    check(with_pointer(UINT64_MAX, STRING_AT, 9), "");
    check(with_pointer(5000, UINT64_MAX - 3, 9), "");
    check(with_pointer(0, STRING_AT, 9), "");
}

/* Build information that was taken out: the table of functions is still known. */
static struct file *with_functions(const char *head)
{
    struct file *file = make_file();

    memcpy((uint8_t *)file + NAMES_AT + 1, ".gopclntab\0\0\0", 14);
    memset((uint8_t *)file + INFO_AT, 0, 16);
    memcpy((uint8_t *)file + INFO_AT, head, 8);
    return file;
}

static void test_functions(void **state)
{
    char version[VERSION_BYTES] = "untouched";

    (void)state;
    check(with_functions("\xf1\xff\xff\xff\0\0\1\x8"), "");
    check(with_functions("\xfb\xff\xff\xff\0\0\1\x8"), "");
    assert_int_equal(read_version(with_functions("\xf2\xff\xff\xff\0\0\1\x8"), version),
                     OUTCOME_NOT_FOUND);
    assert_int_equal(read_version(with_functions("\xf1\xff\xff\xff\0\0\1\x4"), version),
                     OUTCOME_NOT_FOUND);
    assert_int_equal(read_version(with_functions("\0\0\0\0\0\0\0\0"), version), OUTCOME_NOT_FOUND);
    assert_string_equal(version, "untouched");
}

static void test_not_go(void **state)
{
    struct file *file = with_inline("go1.23.5", 8);
    char version[VERSION_BYTES] = "untouched";

    (void)state;
    ((uint8_t *)file)[INFO_AT + 3] = 'g';
    assert_int_equal(read_version(file, version), OUTCOME_NOT_FOUND);
    file = with_inline("go1.23.5", 8);
    memcpy((uint8_t *)file + NAMES_AT + 1, ".go.somewhat", 12);
    assert_int_equal(read_version(file, version), OUTCOME_NOT_FOUND);
    assert_string_equal(version, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inline),  cmocka_unit_test(test_inline_hostile),
        cmocka_unit_test(test_pointer), cmocka_unit_test(test_functions),
        cmocka_unit_test(test_not_go),
    };

    return cmocka_run_group_tests_name("runtime-go", tests, NULL, NULL);
}
