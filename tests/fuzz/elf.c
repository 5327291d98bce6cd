/*
 * ELF files: every question that the code asks of an image, asked of one that anybody may have
 * written. Bytes of e_ident that no loader looks at say how: so that every ELF file is an input.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/binding.h"
#include "elf/cfi.h"
#include "elf/file.h"
#include "elf/text.h"
#include "elf/unwind.h"
#include "fuzz.h"
#include "mem/fake.h"
#include "runtime/recognise.h"

enum { HOW_FILE = 1, HOW_VDSO = 2 }; /* else: a copy in memory */

#define BIAS  UINT64_C(0x7f5500000000)
#define STACK UINT64_C(0x7ffc00000000)

enum { LOOKS = 24, STACK_WORDS = 512 };

static uint8_t how(const uint8_t *data, size_t size)
{
    return size > EI_PAD ? data[EI_PAD] : 0;
}

static int attach_file(struct elf_image *image, const uint8_t *data, size_t size, struct why *why)
{
    int fd = memfd_create("residue-fuzz", MFD_CLOEXEC);

    fuzz_check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    return elf_image_attach(image, fd, why);
}

static int attach_copy(struct elf_image *image, const uint8_t *data, size_t size, struct why *why)
{
    void *copy = malloc(size ? size : 1);

    fuzz_check(copy);
    memcpy(copy, data, size);
    return elf_image_attach_copy(image, copy, size, why);
}

static int attach_vdso(struct elf_image *image, const uint8_t *data, size_t size, struct why *why)
{
    size_t pages = size / PAGE_BYTES + 1;
    uint8_t *bytes = calloc(pages, PAGE_BYTES);
    struct fake_extent extent = {.start = BIAS, .pages = pages, .bytes = bytes};
    struct fake_memory fake;
    int r;

    fuzz_check(bytes);
    memcpy(bytes, data, size);
    fake_memory_init(&fake, &extent, 1);
    r = elf_open_vdso(image, &fake.memory, (struct range){BIAS, BIAS + pages * PAGE_BYTES}, why);
    free(bytes);
    return r;
}

static int open_image(struct elf_image *image, const uint8_t *data, size_t size, struct why *why)
{
    int r;

    if (how(data, size) & HOW_VDSO)
        return attach_vdso(image, data, size, why);
    r = how(data, size) & HOW_FILE ? attach_file(image, data, size, why)
                                   : attach_copy(image, data, size, why);
    if (r == 0)
        elf_image_place(image, BIAS);
    return r;
}

static void check_segments(const struct elf_image *image)
{
    remote_addr end = 0;

    fuzz_check(image->segment_count > 0 && image->segment_count <= ELF_SEGMENTS_MAX);
    for (size_t i = 0; i < image->segment_count; i++) {
        struct range memory = image->segments[i].memory;

        fuzz_check(i == 0 || memory.start >= end);
        fuzz_check(range_length(memory) >= image->segments[i].file_bytes);
        end = memory.end;
    }
}

static int check_slot(void *context, remote_addr slot)
{
    const struct elf_image *image = context;

    for (size_t i = 0; i < image->segment_count; i++)
        if (image->segments[i].writable && range_holds(image->segments[i].memory, slot, 8))
            return 0;
    fuzz_check(!"a slot lies in a writable segment");
    return 0;
}

static void ask_for_symbols(struct elf_image *image)
{
    static const char *const names[] = {"malloc",    "free", "a", "b", "__libc_single_threaded",
                                        "Py_Version"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        remote_addr address;
        uint64_t size;
        uint32_t value;

        (void)!elf_dynamic_symbol(image, names[i], &address, &size);
        (void)!elf_symbol_slot(image, names[i], &address);
        (void)elf_has_dynamic_string(image, names[i]);
        (void)!elf_constant_function(image, names[i], &value);
    }
    (void)elf_needs_libraries(image);
    (void)!elf_each_tls_slot(image, check_slot, image);
}

static void ask_for_texts(struct elf_image *image)
{
    char hex[41], text[64];

    if (elf_build_id(image, hex, sizeof hex) == 0)
        fuzz_check(strspn(hex, "0123456789abcdef") == strlen(hex) && strlen(hex) % 2 == 0 &&
                   hex[0]);
    if (elf_find_text(image, "release", text, sizeof text) == 0)
        fuzz_check(strncmp(text, "release", 7) == 0 && strlen(text) < sizeof text);
}

static void ask_for_owners(struct elf_images *images, struct memory *memory)
{
    static const struct maps no_maps;
    struct owners owners = {0};

    fuzz_check(owners_recognise(images, &no_maps, memory, &owners) == 0);
    for (size_t i = 0; i < owners.count; i++)
        fuzz_check(memchr(owners.items[i].version, '\0', sizeof owners.items[i].version));
    owners_free(&owners);
}

static int count_reference(void *context, remote_addr where)
{
    struct elf_images *images = context;

    fuzz_check(elf_images_find(images, where));
    return 0;
}

/* Addresses all over the code, denser at its start, where small inputs have their functions. */
static remote_addr place_to_look(const struct elf_image *image, unsigned i)
{
    for (size_t k = 0; k < image->segment_count; k++) {
        const struct elf_segment *segment = &image->segments[k];

        if (segment->executable)
            return i < LOOKS / 2
                       ? segment->memory.start + 16 * i
                       : segment->memory.start + range_length(segment->memory) / LOOKS * i;
    }
    return image->segments[0].memory.start + 16 * i;
}

static void ask_for_frames(struct elf_image *image, remote_addr address)
{
    struct range function;
    struct cfi_entry entry;
    struct cfi_row row;

    if (elf_function_at(image, address, &function) == 0)
        fuzz_check(range_has(function, address));
    if (cfi_find(image, address - image->bias, &entry, NULL) != 0)
        return;
    fuzz_check(entry.start < entry.end);
    (void)!cfi_row_at(&entry, address - image->bias, &row, NULL);
    cfi_entry_release(&entry);
}

static int count_frame(void *context, remote_addr pc)
{
    unsigned *frames = context;

    ++*frames;
    return 0;
}

/* From `address` on a stack full of return addresses. */
static void unwind_from(struct elf_images *images, remote_addr address)
{
    uint64_t stack[STACK_WORDS];
    struct fake_extent extent = {.start = STACK, .pages = 1, .bytes = (uint8_t *)stack};
    struct unwind_registers registers = {.known = (UINT32_C(1) << ARCH_REGISTERS) - 1};
    struct fake_memory fake;
    struct why why = {{0}};
    unsigned frames = 0;

    for (unsigned i = 0; i < STACK_WORDS; i++)
        stack[i] = i % 8 == 7 ? STACK + 8 * i : place_to_look(&images->items[0], i % LOOKS) + 1;
    for (unsigned i = 0; i < ARCH_REGISTERS; i++)
        registers.value[i] = STACK + 64 * i;
    registers.value[ARCH_STACK_POINTER] = STACK;
    registers.value[ARCH_PROGRAM_COUNTER] = address;
    fake_memory_init(&fake, &extent, 1);
    if (unwind(images, &fake.memory, registers, count_frame, &frames, &why) == UNWIND_INCOMPLETE)
        fuzz_check(why.text[0]);
    fuzz_check(frames >= 1 && frames <= 4096);
    fuzz_check(fake.reads_of_absent == 0);
}

static void ask(struct elf_images *images, struct memory *memory)
{
    struct elf_image *image = &images->items[0];
    remote_addr start = image->range.start;

    check_segments(image);
    ask_for_symbols(image);
    ask_for_texts(image);
    ask_for_owners(images, memory);
    (void)!elf_each_reference(image, (struct range){start, start + 64}, count_reference, images);
    for (unsigned i = 0; i < LOOKS; i++)
        ask_for_frames(image, place_to_look(image, i));
    for (unsigned i = 0; i < 4; i++)
        unwind_from(images, place_to_look(image, i * 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image = {.fd = -1, .path = strdup("image")};
    struct elf_images images = {.items = &image, .count = 1};
    struct fake_memory nothing;
    struct why why = {{0}};
    int r = open_image(&image, data, size, &why);

    fuzz_check(r == 0 || ((r == OUTCOME_LAYOUT_UNKNOWN || r == OUTCOME_UNREADABLE) && why.text[0]));
    fake_memory_init(&nothing, NULL, 0);
    if (r == 0)
        ask(&images, &nothing.memory);
    else
        fuzz_check(!image.elf && image.fd < 0 && !image.copy);
    elf_image_release(&image);
    return 0;
}
