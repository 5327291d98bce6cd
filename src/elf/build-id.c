#include <elf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/file.h"

enum { NOTES_BYTES_MAX = 64 << 10, BUILD_ID_BYTES_MAX = 64 };

/* Finds the build-id among notes that are padded to `align` bytes. */
static const uint8_t *find_note(const uint8_t *notes, size_t size, size_t align, size_t *ret_length)
{
    Elf64_Nhdr header;

    for (size_t at = 0; size - at >= sizeof header;) {
        memcpy(&header, notes + at, sizeof header);
        uint64_t name = at + sizeof header;
        uint64_t content = align_up(name + header.n_namesz, align);
        uint64_t next = align_up(content + header.n_descsz, align);

        if (content + header.n_descsz > size)
            return NULL;
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(notes + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
            *ret_length = header.n_descsz;
            return notes + content;
        }
        if (next >= size)
            return NULL;
        at = (size_t)next;
    }
    return NULL;
}

static int format_hex(const uint8_t *bytes, size_t length, char *hex, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (length == 0 || length > BUILD_ID_BYTES_MAX || 2 * length + 1 > size)
        return OUTCOME_NOT_FOUND;
    for (size_t i = 0; i < length; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    hex[2 * length] = '\0';
    return 0;
}

static int build_id_of(const struct elf_image *image, const GElf_Phdr *header, char *hex,
                       size_t size)
{
    size_t length, wanted = header->p_filesz;

    if (wanted == 0 || wanted > NOTES_BYTES_MAX)
        return OUTCOME_NOT_FOUND;
    auto_free uint8_t *notes = malloc(wanted);
    if (!notes || elf_read_file(image, header->p_offset, notes, wanted) != 0)
        return OUTCOME_NOT_FOUND;
    const uint8_t *id = find_note(notes, wanted, header->p_align == 8 ? 8 : 4, &length);
    return id ? format_hex(id, length, hex, size) : OUTCOME_NOT_FOUND;
}

int elf_build_id(struct elf_image *image, char *hex, size_t size)
{
    size_t count;
    int r = OUTCOME_NOT_FOUND;

    if (!image->elf || elf_getphdrnum(image->elf, &count) != 0)
        return OUTCOME_NOT_FOUND;
    for (size_t i = 0; r != 0 && i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(image->elf, (int)i, &header) && header.p_type == PT_NOTE)
            r = build_id_of(image, &header, hex, size);
    }
    return r;
}
