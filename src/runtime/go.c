/*
 * What Go's linker leaves in a program (debug/buildinfo): a magic, the pointer size, flags; since
 * Go 1.18 the version itself, with its length before it, and a pointer to a string before that.
 * Some take it out of what they ship; the table of functions has to stay.
 */
#include "runtime/go.h"

#include <string.h>

#include "elf/file.h"
#include "elf/sections.h"
#include "heap/version.h"

enum { HEADER_BYTES = 32, FLAGS_AT = 15, POINTER_AT = 16, FLAG_INLINE = 2, POINTER_BYTES = 8 };

static void keep(const struct elf_image *image, uint64_t address, uint64_t length, char *version)
{
    char text[VERSION_BYTES + 2] = {0};
    const char *space;

    /* "go1.23.5", "go1.24 X:nocoverageredesign", "devel go1.25-..." */
    if (length > sizeof text)
        length = sizeof text;
    if (elf_read_linked(image, address, text, length) != 0 || strncmp(text, "go", 2) != 0)
        return;
    space = memchr(text, ' ', length);
    version_keep(text + 2, (space ? (size_t)(space - text) : length) - 2, version);
}

static void read_inline(const struct elf_image *image, uint64_t address, char *version)
{
    uint8_t length[2];

    if (elf_read_linked(image, address, length, sizeof length) != 0)
        return;
    if (length[0] < 0x80)
        keep(image, address + 1, length[0], version);
    else if (length[1] <
             0x80) /* a varint of two bytes: more than any version needs, and possible */
        keep(image, address + 2, length[0] - 0x80u + ((uint64_t)length[1] << 7), version);
}

static void read_pointed(const struct elf_image *image, const uint8_t *header, char *version)
{
    uint64_t address, string[2];

    memcpy(&address, header + POINTER_AT, sizeof address);
    if (elf_read_linked(image, address, string, sizeof string) == 0)
        keep(image, string[0], string[1], version);
}

/* The head of runtime.pclntab: a magic of its format, two zeros, the code's alignment, and the
 * pointer's size (debug/gosym/pclntab.go). */
static bool has_function_table(const struct elf_image *image)
{
    static const uint32_t magics[] = {0xfffffffb, 0xfffffffa, 0xfffffff0, 0xfffffff1};
    static const uint8_t rest[] = {0, 0, 1, POINTER_BYTES};
    uint8_t head[sizeof magics[0] + sizeof rest];
    Elf64_Shdr section;

    if (!elf_section_named(image, ".gopclntab", &section) ||
        elf_read_linked(image, section.sh_addr, head, sizeof head) != 0 ||
        memcmp(head + sizeof magics[0], rest, sizeof rest) != 0)
        return false;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (memcmp(head, &magics[i], sizeof magics[i]) == 0)
            return true;
    return false;
}

static bool read_header(const struct elf_image *image, uint8_t header[HEADER_BYTES],
                        uint64_t *ret_address)
{
    static const char magic[] = "\xff Go buildinf:"; /* 14 bytes; the pointer size follows */
    Elf64_Shdr section;

    if (!elf_section_named(image, ".go.buildinfo", &section) ||
        elf_read_linked(image, section.sh_addr, header, HEADER_BYTES) != 0 ||
        memcmp(header, magic, sizeof magic - 1) != 0)
        return false;
    *ret_address = section.sh_addr;
    return true;
}

int go_build_version(struct elf_image *image, char *version)
{
    uint8_t header[HEADER_BYTES];
    uint64_t address;
    bool informed;

    if (!image->elf || image->is_32_bit)
        return OUTCOME_NOT_FOUND;
    informed = read_header(image, header, &address);
    if (!informed && !has_function_table(image))
        return OUTCOME_NOT_FOUND;
    version[0] = '\0';
    if (informed && header[FLAGS_AT] & FLAG_INLINE)
        read_inline(image, address + HEADER_BYTES, version);
    else if (informed && header[FLAGS_AT - 1] == POINTER_BYTES && header[FLAGS_AT] == 0)
        read_pointed(image, header, version);
    return 0;
}
