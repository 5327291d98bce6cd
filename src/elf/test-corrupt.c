/* Every function of this folder on cut and damaged files: anything may come out but a crash or an
 * endless loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf/cfi.h"
#include "elf/test-file.h"
#include "elf/unwind.h"
#include "test-victims.h"

enum { MUTATIONS = 400 };

static uint64_t seed;

static uint64_t next_random(uint64_t below)
{
    seed = seed * 6364136223846793005 + 1442695040888963407;
    return (seed >> 20) % below;
}

/* A memory of noise that is the same at every run: small numbers and addresses of the image among
 * it. */
static int noise_flags(struct memory *memory, remote_addr start, size_t count, uint8_t *ret_flags,
                       struct why *why)
{
    memset(ret_flags, PAGE_PRESENT, count);
    return 0;
}

static int noise_pages(struct memory *memory, remote_addr start, size_t count, uint8_t *flags,
                       void *buffer, struct why *why)
{
    uint64_t *words = buffer;

    for (size_t i = 0; i < count * PAGE_BYTES / sizeof *words; i++)
        words[i] = next_random(3) ? next_random(0x1e0000) : 0x7f0000000000 + next_random(1 << 20);
    return 0;
}

static const struct memory_ops noise_ops = {.page_flags = noise_flags, .read_pages = noise_pages};
static struct memory noise = {.ops = &noise_ops};

static int ignore(void *context, remote_addr where)
{
    (*(size_t *)context)++;
    return 0;
}

static void unwind_from(struct elf_image *image, remote_addr pc)
{
    struct elf_images images = {.items = image, .count = 1};
    struct unwind_registers registers = {.known = 0x1ffff};
    size_t frames = 0;
    struct why why;

    for (unsigned i = 0; i < ARCH_REGISTERS; i++)
        registers.value[i] = 0x7f0000000000 + 64 * i;
    registers.value[ARCH_PROGRAM_COUNTER] = pc;
    enum unwind_end end = unwind(&images, &noise, registers, ignore, &frames, &why);
    assert_true(end != UNWIND_STOPPED && frames <= 4096);
}

static void use_all(struct elf_image *image)
{
    char text[80];
    size_t calls = 0;
    remote_addr address;
    uint64_t size;
    struct range range;
    int sum = 0;

    sum += elf_dynamic_symbol(image, "malloc", &address, &size);
    sum += elf_dynamic_symbol(image, "not there", &address, &size);
    sum += elf_each_tls_slot(image, ignore, &calls);
    sum += elf_build_id(image, text, sizeof text);
    sum += elf_find_text(image, "stable release version ", text, sizeof text);
    sum += elf_each_reference(image, (struct range){0x1d3000, 0x1d3010}, ignore, &calls);
    for (unsigned i = 0; i < 20; i++) {
        address = image->bias + next_random(0x180000);
        sum += elf_function_at(image, address, &range);
        unwind_from(image, address);
    }
    assert_true(sum >= 0);
}

static void use(const struct test_file *file)
{
    struct elf_image image = {.path = NULL};
    struct why why = {{0}};

    if (elf_image_attach(&image, test_file_descriptor(file), &why) == 0) {
        elf_image_place(&image, next_random(2) ? 0 : 0x7f1000000000);
        use_all(&image);
    } else {
        assert_true(why.text[0] != '\0');
    }
    elf_image_release(&image);
}

/* Where damage matters most: headers, hash tables, symbols, relocations, call frames, section
 * headers. */
static uint64_t tender_place(const struct test_file *file, const uint64_t (*places)[2],
                             size_t count)
{
    uint64_t kind = next_random(count + 1);

    if (kind == count)
        return next_random(file->size);
    return (places[kind][0] + next_random(places[kind][1])) % file->size;
}

static void damage(struct test_file *file, const uint64_t (*places)[2], size_t count)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};

    for (uint64_t flips = 1 + next_random(8); flips > 0; flips--) {
        uint64_t at = tender_place(file, places, count);
        file->bytes[at] = next_random(2) ? file->bytes[at] ^ (uint8_t)(1 << next_random(8))
                                         : values[next_random(5)];
    }
}

/* File ranges of the sections with these types or names' roles; found in the undamaged file. */
static size_t find_places(const struct test_file *file, uint64_t (*places)[2], size_t max)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file->bytes;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file->bytes + header->e_shoff);
    const char *names = (const char *)file->bytes + sections[header->e_shstrndx].sh_offset;
    size_t count = 0;

    places[count][0] = 0;
    places[count++][1] = sizeof *header + header->e_phnum * sizeof(Elf64_Phdr);
    places[count][0] = header->e_shoff;
    places[count++][1] = header->e_shnum * sizeof *sections;
    for (size_t i = 0; i < header->e_shnum && count < max; i++) {
        const char *name = names + sections[i].sh_name;
        if (sections[i].sh_size > 0 && (strstr(name, ".eh_frame") || strstr(name, ".dyn") ||
                                        strstr(name, "hash") || strstr(name, ".note"))) {
            places[count][0] = sections[i].sh_offset;
            places[count++][1] = sections[i].sh_size;
        }
    }
    return count;
}

static void check_mutations(const char *path)
{
    struct test_file whole, file;
    uint64_t places[32][2];

    test_file_load(&whole, path);
    size_t count = find_places(&whole, places, 32);
    file.bytes = malloc(whole.size);
    assert_non_null(file.bytes);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        seed = i * 7919 + 1;
        file.size = i % 8 ? whole.size : next_random(whole.size);
        memcpy(file.bytes, whole.bytes, whole.size);
        damage(&file, places, count);
        use(&file);
    }
    free(file.bytes);
    free(whole.bytes);
}

static void test_damaged_libc(void **state)
{
    check_mutations(test_libc_path());
}

static void test_damaged_programs(void **state)
{
    check_mutations(VICTIM);
    check_mutations(VICTIM_STATIC);
}

/* Cut at every one of its first bytes, and in steps after that. */
static void test_cut(void **state)
{
    struct test_file file;

    test_file_load(&file, VICTIM);
    size_t size = file.size;
    for (file.size = 0; file.size < size; file.size += file.size < 200 ? 1 : 997)
        use(&file);
    free(file.bytes);
}

/* Call frame information that claims register numbers, lengths and depths without end. */
static void test_made_up_instructions(void **state)
{
    struct cfi_row row;

    for (seed = 1; seed < 20000; seed++) {
        uint8_t program[48];
        uint64_t before = seed;
        for (size_t i = 0; i < sizeof program; i++)
            program[i] = (uint8_t)next_random(256);
        struct cfi_entry entry = {
            .start = 0x1000, .end = 0x2000, .code_align = 1, .data_align = -8};
        entry.initial = bytes_of(program, 8, 0);
        entry.program = bytes_of(program + 8, sizeof program - 8, 0);
        int r = cfi_row_at(&entry, 0x1800, &row, NULL);
        assert_true(r == 0 || r == OUTCOME_LAYOUT_UNKNOWN);
        seed = before;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_libc),
        cmocka_unit_test(test_damaged_programs),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_made_up_instructions),
    };
    return cmocka_run_group_tests_name("elf damaged files", tests, NULL, NULL);
}
