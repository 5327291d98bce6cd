/*
 * Call frame information and DWARF expressions, with a stack to go by: an image whose .eh_frame is
 * the input's, so that nothing of it is spent on ELF. Its code lies at CODE and its .eh_frame at
 * FRAMES.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "elf/cfi.h"
#include "elf/file.h"
#include "elf/unwind.h"
#include "fuzz.h"
#include "mem/fake.h"

#define BIAS  UINT64_C(0x7f5500000000)
#define STACK UINT64_C(0x7ffc00000000)

enum {
    CODE = 0x1000,
    CODE_BYTES = 0x1000,
    FRAMES = 0x2000,
    HEADERS = 0x400,
    STACK_WORDS_MOST = 1024
};
enum { SECTION_FRAMES = 1, SECTION_NAMES, SECTIONS };
enum { SEGMENT_CODE, SEGMENT_FRAMES, SEGMENTS };

/* What stands before the frames: the program counter, and how many words of stack follow. */
struct head {
    uint16_t pc, stack_words, unknown; /* `unknown`: registers whose values are lost, a bit each */
};

struct file_start {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS];
    Elf64_Shdr sections[SECTIONS];
    char names[32];
};
_Static_assert(sizeof(struct file_start) <= HEADERS, "the frames begin behind it");

static struct file_start file_start_of(size_t frames_bytes)
{
    struct file_start start = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phoff = offsetof(struct file_start, segments),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = SEGMENTS,
                   .e_shoff = offsetof(struct file_start, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = SECTIONS,
                   .e_shstrndx = SECTION_NAMES},
        .segments =
            {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = CODE, .p_memsz = CODE_BYTES},
             {.p_type = PT_LOAD,
              .p_flags = PF_R,
              .p_vaddr = FRAMES + HEADERS,
              .p_offset = HEADERS,
              .p_filesz = frames_bytes,
              .p_memsz = frames_bytes}},
        .names = "\0.eh_frame\0.shstrtab"};

    start.sections[SECTION_FRAMES] = (Elf64_Shdr){.sh_name = 1,
                                                  .sh_type = SHT_PROGBITS,
                                                  .sh_flags = SHF_ALLOC,
                                                  .sh_addr = FRAMES + HEADERS,
                                                  .sh_offset = HEADERS,
                                                  .sh_size = frames_bytes};
    start.sections[SECTION_NAMES] = (Elf64_Shdr){.sh_name = 11,
                                                 .sh_type = SHT_STRTAB,
                                                 .sh_offset = offsetof(struct file_start, names),
                                                 .sh_size = sizeof start.names};
    return start;
}

static void make_image(struct elf_image *image, const uint8_t *frames, size_t size)
{
    struct file_start start = file_start_of(size);
    uint8_t *copy = calloc(1, HEADERS + size);
    struct why why;

    fuzz_check(copy);
    memcpy(copy, &start, sizeof start);
    memcpy(copy + HEADERS, frames, size);
    *image = (struct elf_image){.fd = -1, .path = strdup("image")};
    fuzz_check(elf_image_attach_copy(image, copy, HEADERS + size, &why) == 0);
    elf_image_place(image, BIAS);
}

/* Small words are places: below FRAMES in the code, else on the stack. So short inputs can name
 * them. */
static uint64_t word_of(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    if (word < FRAMES)
        return BIAS + word;
    return word < 0x10000 ? STACK + word - FRAMES : word;
}

static int count_frame(void *context, remote_addr pc)
{
    unsigned *frames = context;

    ++*frames;
    return 0;
}

static void unwind_from(struct elf_image *image, const struct head *head, const uint64_t *stack,
                        size_t pages)
{
    struct elf_images images = {.items = image, .count = 1};
    struct fake_extent extent = {
        .start = STACK, .pages = pages, .bytes = (uint8_t *)(uintptr_t)stack};
    struct unwind_registers registers = {.known = ((UINT32_C(1) << ARCH_REGISTERS) - 1) &
                                                  ~(uint32_t)head->unknown};
    struct fake_memory fake;
    struct why why = {{0}};
    unsigned frames = 0;

    for (unsigned i = 0; i < ARCH_REGISTERS; i++)
        registers.value[i] = STACK + 128 * i;
    registers.value[ARCH_STACK_POINTER] = STACK;
    registers.value[ARCH_PROGRAM_COUNTER] = BIAS + head->pc;
    fake_memory_init(&fake, &extent, 1);
    if (unwind(&images, &fake.memory, registers, count_frame, &frames, &why) == UNWIND_INCOMPLETE)
        fuzz_check(why.text[0]);
    fuzz_check(frames >= 1 && frames <= 4096);
    fuzz_check(fake.reads_of_absent == 0);
}

/* Every function that the frames have: what covers an address has it, and says so again. */
static void look_at_functions(struct elf_image *image)
{
    for (uint64_t address = CODE; address < CODE + CODE_BYTES; address += 64) {
        struct cfi_entry entry;
        struct cfi_row row;

        if (cfi_find(image, address, &entry, NULL) != 0)
            continue;
        fuzz_check(entry.start <= address && address < entry.end);
        if (cfi_row_at(&entry, address, &row, NULL) == 0)
            fuzz_check(row.cfa.kind == CFI_REGISTER || row.cfa.kind == CFI_VAL_EXPRESSION);
        cfi_entry_release(&entry);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t stack[STACK_WORDS_MOST];
    struct elf_image image;
    struct head head;

    if (size < sizeof head)
        return -1;
    memcpy(&head, data, sizeof head);
    data += sizeof head;
    size -= sizeof head;
    if (head.stack_words > STACK_WORDS_MOST || head.stack_words * sizeof *stack > size)
        return -1;
    memset(stack, 0, sizeof stack);
    for (size_t i = 0; i < head.stack_words; i++)
        stack[i] = word_of(data + i * sizeof *stack);
    data += head.stack_words * sizeof *stack;
    size -= head.stack_words * sizeof *stack;
    if (size == 0)
        return -1;
    make_image(&image, data, size);
    look_at_functions(&image);
    unwind_from(&image, &head, stack, sizeof stack / PAGE_BYTES);
    elf_image_release(&image);
    return 0;
}
