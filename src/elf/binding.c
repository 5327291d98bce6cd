#include "elf/binding.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/arch/x86_64-binding.h"
#include "elf/dynamic.h"
#include "elf/file.h"

enum {
    DYNAMIC_ENTRIES_MAX = 1024,
    RELOCATIONS_MAX = 1 << 22,
    RELOCATIONS_AT_ONCE = 128,
    NAME_BYTES = 128,
    STRINGS_MAX = 64 << 20,
    CHUNK_BYTES = 64 << 10,
};

/* The first dynamic entry with this tag. */
static bool dynamic_value(const struct elf_image *image, int64_t tag, uint64_t *ret)
{
    Elf64_Phdr header;
    Elf64_Dyn entry;

    if (!image->elf || image->is_32_bit || elf_program_header(image, PT_DYNAMIC, &header) != 0)
        return false;
    for (size_t i = 0; i < DYNAMIC_ENTRIES_MAX && (i + 1) * sizeof entry <= header.p_filesz; i++) {
        if (elf_read_linked(image, header.p_vaddr + i * sizeof entry, &entry, sizeof entry) != 0 ||
            entry.d_tag == DT_NULL)
            return false;
        if (entry.d_tag == tag) {
            *ret = entry.d_un.d_val;
            return true;
        }
    }
    return false;
}

bool elf_needs_libraries(struct elf_image *image)
{
    uint64_t name;

    return dynamic_value(image, DT_NEEDED, &name);
}

static bool symbol_is_named(const struct elf_image *image, const struct elf_dynamic *dynamic,
                            uint64_t index, const char *name)
{
    char buffer[NAME_BYTES];
    size_t length = strlen(name) + 1;
    Elf64_Sym symbol;

    return elf_read_linked(image, dynamic->symbols + index * sizeof symbol, &symbol,
                           sizeof symbol) == 0 &&
           symbol.st_name < dynamic->strings_size &&
           elf_read_linked(image, dynamic->strings + symbol.st_name, buffer, length) == 0 &&
           memcmp(buffer, name, length) == 0;
}

static int slot_in(const struct elf_image *image, const struct elf_dynamic *dynamic,
                   const Elf64_Rela *relocations, size_t count, const char *name, remote_addr *ret)
{
    for (size_t i = 0; i < count; i++) {
        const Elf64_Rela *relocation = &relocations[i];

        if (arch_relocation_binds(relocation->r_info) && relocation->r_addend == 0 &&
            symbol_is_named(image, dynamic, ELF64_R_SYM(relocation->r_info), name)) {
            *ret = image->bias + relocation->r_offset;
            return 0;
        }
    }
    return OUTCOME_NOT_FOUND;
}

static int search_table(const struct elf_image *image, const struct elf_dynamic *dynamic,
                        uint64_t table, uint64_t bytes, const char *name, remote_addr *ret)
{
    Elf64_Rela relocations[RELOCATIONS_AT_ONCE];
    uint64_t count = bytes / sizeof relocations[0];
    int r = OUTCOME_NOT_FOUND;

    for (uint64_t i = 0; r != 0 && i < count && i < RELOCATIONS_MAX; i += RELOCATIONS_AT_ONCE) {
        size_t some = count - i < RELOCATIONS_AT_ONCE ? (size_t)(count - i) : RELOCATIONS_AT_ONCE;

        if (elf_read_linked(image, table + i * sizeof relocations[0], relocations,
                            some * sizeof relocations[0]) != 0)
            return OUTCOME_NOT_FOUND;
        r = slot_in(image, dynamic, relocations, some, name, ret);
    }
    return r;
}

int elf_symbol_slot(struct elf_image *image, const char *name, remote_addr *ret_slot)
{
    struct elf_dynamic dynamic;
    uint64_t calls, calls_bytes;
    int r;

    if (strlen(name) >= NAME_BYTES || elf_dynamic_read(image, &dynamic) != 0)
        return OUTCOME_NOT_FOUND;
    r = search_table(image, &dynamic, dynamic.relocations, dynamic.relocations_size, name,
                     ret_slot);
    if (r != 0 && dynamic_value(image, DT_JMPREL, &calls) &&
        dynamic_value(image, DT_PLTRELSZ, &calls_bytes))
        r = search_table(image, &dynamic, calls, calls_bytes, name, ret_slot);
    return r;
}

bool elf_has_dynamic_string(struct elf_image *image, const char *name)
{
    auto_free char *chunk = malloc(CHUNK_BYTES);
    size_t bytes = strlen(name) + 1;
    struct elf_dynamic dynamic;

    if (!chunk || bytes >= NAME_BYTES || elf_dynamic_read(image, &dynamic) != 0 ||
        dynamic.strings_size > STRINGS_MAX)
        return false;
    for (uint64_t at = 0; at < dynamic.strings_size; at += CHUNK_BYTES - bytes) {
        uint64_t left = dynamic.strings_size - at;
        size_t length = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

        if (elf_read_linked(image, dynamic.strings + at, chunk, length) != 0)
            return false;
        if (memmem(chunk, length, name, bytes))
            return true;
        if (length == left)
            return false;
    }
    return false;
}

int elf_constant_function(struct elf_image *image, const char *name, uint32_t *ret_value)
{
    uint8_t code[ARCH_CONSTANT_FUNCTION_BYTES];
    remote_addr address;

    if (elf_dynamic_symbol(image, name, &address, NULL) != 0 ||
        elf_read_linked(image, address - image->bias, code, sizeof code) != 0)
        return OUTCOME_NOT_FOUND;
    return arch_constant_function(code, ret_value) ? 0 : OUTCOME_NOT_FOUND;
}
