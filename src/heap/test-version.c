/* Versions out of constants, on a file made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "elf/file.h"
#include "heap/version.h"

enum { FILE_BYTES = 4096, TEXT_AT = 1024 };

/* A file with these constants, each with its NUL; `length` excludes that of the last. */
static void make_image(struct elf_image *image, const char *constants, size_t length)
{
    uint8_t *file = calloc(1, FILE_BYTES);
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof header,
        .e_ehsize = sizeof header,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1};
    Elf64_Phdr segment = {.p_type = PT_LOAD,
                          .p_flags = PF_R,
                          .p_filesz = FILE_BYTES,
                          .p_memsz = FILE_BYTES,
                          .p_align = 4096};

    assert_non_null(file);
    assert_true(length < FILE_BYTES - TEXT_AT);
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, &segment, sizeof segment);
    memcpy(file + TEXT_AT, constants, length);
    *image = (struct elf_image){.fd = -1};
    assert_int_equal(elf_image_attach_copy(image, file, FILE_BYTES, NULL), 0);
}

#define CHECK(constants, call, expected)                                                           \
    do {                                                                                           \
        struct elf_image image;                                                                    \
        char version[VERSION_BYTES] = "-";                                                         \
        make_image(&image, constants, sizeof constants - 1);                                       \
        call;                                                                                      \
        assert_string_equal(version, expected);                                                    \
        elf_image_release(&image);                                                                 \
    } while (0)

static void test_after(void **state)
{
    (void)state;
#define AFTER version_after(&image, 'P', "rogram ", " ", version)
    CHECK("Program 1.2rc3", AFTER, "1.2rc3");
    CHECK("a Program 1.2 of May", AFTER, "1.2");
    CHECK("program 1.2", AFTER, "-");
    CHECK("rogram 1.2", AFTER, "-");
    CHECK("Program %s\0Program 4", AFTER, "4");
    CHECK("Program 1234567890123456789012345678901234567890", AFTER, "-");
    CHECK("Program 1234567890123456789012345678901", AFTER, "1234567890123456789012345678901");
    CHECK("Program ", AFTER, "-");
    CHECK("Program 1.2\x1b[31m", AFTER, "1.2"); /* constants end where they cannot be printed */
    CHECK("Program 1.2<b>", AFTER, "-");
}

static void test_alone(void **state)
{
    (void)state;
#define ALONE version_alone(&image, "", 2, version)
    CHECK("1.2.3", ALONE, "1.2.3");
    CHECK("v1.2.3\0"
          "11.22.33",
          ALONE, "11.22.33");
    CHECK("1.2\0"
          "1.2.3.4\0"
          "1..3\0"
          "1.2.",
          ALONE, "-");
    CHECK("1.2.3\0"
          "1.2.3",
          ALONE, "1.2.3");
    CHECK("1.2.3\0"
          "1.2.4",
          ALONE, "-");
#define SERIES version_alone(&image, "3.9.", 2, version)
    CHECK("3.9.18\0"
          "1.2.3",
          SERIES, "3.9.18");
    CHECK("/opt/3.9.18\0Python-3.9.18", SERIES, "3.9.18");
    CHECK("/opt/3.9.18\0Python-3.9.17", SERIES, "-");
    CHECK("13.9.18\0"
          "2.3.9.18\0v3.9.18\0"
          "3.9.18.1",
          SERIES, "-");
}

static void test_suffixed(void **state)
{
    (void)state;
#define SUFFIXED version_suffixed(&image, 3, "-node.", version)
    CHECK("11.3.244.8-node.38", SUFFIXED, "11.3.244.8-node.38");
    CHECK("11.3.244-node.38\0"
          "11.3.244.8-node.\0"
          "11.3.244.8-node.3x",
          SUFFIXED, "-");
#define NAMED version_suffixed(&image, 3, "-rusty", version)
    CHECK("15.0.245.2-rusty", NAMED, "15.0.245.2-rusty");
    CHECK("15.0.245-rusty\0"
          "15.0.245.2-rusty1\0"
          "15.0.245.2-rustyx\0"
          "a15.0.245.2-rusty",
          NAMED, "-");
}

static void test_git(void **state)
{
    (void)state;
#define GIT version_git(&image, version)
    CHECK("5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c", GIT, "5.3.0");
    CHECK("v1.2-0-g54eaed1\0"
          "10.20.30-123-g0123456",
          GIT, "10.20.30");
    CHECK("0.0.0-0-g000000missing_version_try_git_fetch_tags", GIT, "-");
    CHECK("5.3.0-0-g54e\0"
          "5.3.0-g54eaed1d\0"
          "5.3.0-x-g54eaed1d\0-g\0-g54eaed1d",
          GIT, "-");
}

/* Foreign bytes. */
static void test_keep(void **state)
{
    static const char *const wrong[] = {"",     "v1",      "1.2\n",     "1\x1b[0m", "1 2",
                                        "1\\2", "1.2\xff", "1\xc3\xa9", "1.2(3)",   ".1"};
    char version[VERSION_BYTES] = "-", longest[VERSION_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(version_keep(wrong[i], strlen(wrong[i]), version));
    assert_false(version_keep("1.2\0", 4, version));
    memset(longest, '7', sizeof longest);
    assert_false(version_keep(longest, VERSION_BYTES, version));
    assert_string_equal(version, "-");
    assert_true(version_keep(longest, VERSION_BYTES - 1, version));
    assert_int_equal(strlen(version), VERSION_BYTES - 1);
    assert_true(version_keep("17.0.12+7-Debian-2deb12u1!", 25, version));
    assert_string_equal(version, "17.0.12+7-Debian-2deb12u1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after), cmocka_unit_test(test_alone), cmocka_unit_test(test_suffixed),
        cmocka_unit_test(test_git),   cmocka_unit_test(test_keep),
    };

    return cmocka_run_group_tests_name("heap-version", tests, NULL, NULL);
}
