/*
 * What Go's linker leaves in every program (debug/buildinfo): a magic, the pointer size, flags;
 * since Go 1.18 the version itself, with its length before it, and a pointer to a string before
 * that.
 */
#include "runtime/go.h"

#include <string.h>

#include "elf/file.h"
#include "elf/sections.h"
#include "heap/version.h"

enum { HEADER_BYTES = 32, FLAGS_AT = 15, POINTER_AT = 16, FLAG_INLINE = 2, POINTER_BYTES = 8 };

static void keep(const struct elf_image *image, uint64_t address, uint64_t length, char *version)
{
    char text[VERSION_BYTES] = {0};

    /* "go1.23.5", "go1.24 X:nocoverageredesign", "devel go1.25-..." */
    if (length > sizeof text - 1)
        length = sizeof text - 1;
    if (elf_read_linked(image, address, text, length) != 0)
        return;
    text[strcspn(text, " ")] = '\0';
    if (strncmp(text, "go", 2) == 0)
        memmove(version, text + 2, strlen(text + 2) + 1);
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

int go_build_version(struct elf_image *image, char *version)
{
    static const char magic[] = "\xff Go buildinf:"; /* 14 bytes; the pointer size follows */
    uint8_t header[HEADER_BYTES];
    Elf64_Shdr section;

    if (!image->elf || image->is_32_bit || !elf_section_named(image, ".go.buildinfo", &section) ||
        elf_read_linked(image, section.sh_addr, header, sizeof header) != 0 ||
        memcmp(header, magic, sizeof magic - 1) != 0)
        return OUTCOME_NOT_FOUND;
    version[0] = '\0';
    if (header[FLAGS_AT] & FLAG_INLINE)
        read_inline(image, section.sh_addr + HEADER_BYTES, version);
    else if (header[FLAGS_AT - 1] == POINTER_BYTES && header[FLAGS_AT] == 0)
        read_pointed(image, header, version);
    return 0;
}
