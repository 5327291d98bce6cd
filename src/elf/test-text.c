/* The text search on an ELF file made here: nothing may be lost where chunks meet. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "elf/file.h"
#include "elf/text.h"

enum { FILE_BYTES = 1 << 20, CHUNK = 256 << 10, TEXT_START = 4096 };

/* One read-only segment that is the whole file. */
static uint8_t *make_file(void)
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
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, &segment, sizeof segment);
    return file;
}

struct expected {
    const char *string;
    size_t before;
    unsigned asked;
    bool refuse;
};

static bool check(void *context, const char *string, const char *at)
{
    struct expected *expected = context;

    assert_string_equal(string, expected->string);
    assert_int_equal(at - string, expected->before);
    expected->asked++;
    return !expected->refuse;
}

static void test_chunks(void **state)
{
    struct elf_image image = {.fd = -1};
    uint8_t *file = make_file();
    static const char text[] = "before<needle>behind";

    (void)state;
    assert_int_equal(elf_image_attach_copy(&image, file, FILE_BYTES, NULL), 0);
    for (size_t at = TEXT_START; at < FILE_BYTES - sizeof text;
         at += at % CHUNK < 2048 || at % CHUNK > CHUNK - 2048 ? 7 : 1031) {
        struct expected expected = {.string = text, .before = 6, .refuse = at % 2};
        struct elf_text_search searches[] = {
            {.needle = "<needle", .accept = check, .context = &expected},
            {.needle = "<needle that is not there", .accept = check, .context = &expected}};

        memcpy(file + at, text, sizeof text);
        assert_int_equal(elf_search_text(&image, searches, 2), 0);
        assert_int_equal(searches[0].found, !expected.refuse);
        assert_int_equal(expected.asked, 1);
        assert_false(searches[1].found);
        memset(file + at, 0, sizeof text);
    }
    elf_image_release(&image);
}

static void test_long_text(void **state)
{
    struct elf_image image = {.fd = -1};
    uint8_t *file = make_file();
    char string[ELF_TEXT_BYTES];
    struct expected expected = {.string = string};
    struct elf_text_search search = {.needle = "bbb", .accept = check, .context = &expected};

    (void)state;
    memset(file + TEXT_START, 'a', FILE_BYTES - TEXT_START);
    memcpy(file + CHUNK, "bbb", 3);
    expected.before = (ELF_TEXT_BYTES - 3) / 2;
    memset(string, 'a', sizeof string - 1);
    string[sizeof string - 1] = '\0';
    memcpy(string + expected.before, "bbb", 3);
    assert_int_equal(elf_image_attach_copy(&image, file, FILE_BYTES, NULL), 0);
    assert_int_equal(elf_search_text(&image, &search, 1), 0);
    assert_true(search.found);

    /* At the file's very end. */
    memset(file + TEXT_START, 0, FILE_BYTES - TEXT_START);
    memcpy(file + FILE_BYTES - 3, "bbb", 3);
    search.found = false;
    expected = (struct expected){.string = "bbb"};
    assert_int_equal(elf_search_text(&image, &search, 1), 0);
    assert_true(search.found);
    elf_image_release(&image);
}

static void test_misuse(void **state)
{
    struct elf_image image = {.fd = -1};
    struct elf_text_search searches[ELF_TEXT_SEARCHES_MOST + 1] = {{.needle = ""}};

    (void)state;
    assert_int_equal(elf_search_text(&image, searches, 1), OUTCOME_NOT_FOUND);
    assert_int_equal(elf_image_attach_copy(&image, make_file(), FILE_BYTES, NULL), 0);
    for (size_t i = 0; i <= ELF_TEXT_SEARCHES_MOST; i++)
        searches[i].needle = "0123456789012345678901234567890123456789";
    assert_int_equal(elf_search_text(&image, searches, ELF_TEXT_SEARCHES_MOST), 0);
    assert_int_equal(elf_search_text(&image, searches, ELF_TEXT_SEARCHES_MOST + 1), -EINVAL);
    elf_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests_name("elf-text", tests, NULL, NULL);
}
