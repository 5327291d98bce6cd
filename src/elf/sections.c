#include "elf/sections.h"

#include <gelf.h>
#include <string.h>

#include "elf/file.h"

enum { NAME_BYTES = 16 };

/* Read by ourselves: libelf would load the whole string table, however large the file claims it to
 * be. */
static bool section_name(const struct elf_image *image, const GElf_Shdr *names,
                         const GElf_Shdr *section, char name[NAME_BYTES])
{
    uint64_t left = section->sh_name < names->sh_size ? names->sh_size - section->sh_name : 0;
    size_t length = left < NAME_BYTES - 1 ? (size_t)left : NAME_BYTES - 1;

    memset(name, 0, NAME_BYTES);
    return length > 0 &&
           elf_read_file(image, names->sh_offset + section->sh_name, name, length) == 0;
}

/* Calls `each` until it returns true. */
static bool find(const struct elf_image *image,
                 bool (*each)(const GElf_Shdr *section, const char *name, void *context),
                 void *context, GElf_Shdr *ret)
{
    GElf_Shdr names;
    char name[NAME_BYTES];
    size_t names_index;
    Elf_Scn *section = NULL;

    if (elf_getshdrstrndx(image->elf, &names_index) != 0 || names_index == 0 ||
        !gelf_getshdr(elf_getscn(image->elf, names_index), &names))
        return false;
    while ((section = elf_nextscn(image->elf, section)))
        if (gelf_getshdr(section, ret) && ret->sh_type != SHT_NOBITS &&
            (ret->sh_flags & SHF_ALLOC) && section_name(image, &names, ret, name) &&
            each(ret, name, context))
            return true;
    return false;
}

static bool is_named(const GElf_Shdr *section, const char *name, void *context)
{
    const char *wanted = context;

    return strcmp(name, wanted) == 0;
}

bool elf_section_named(const struct elf_image *image, const char *name, Elf64_Shdr *ret)
{
    return find(image, is_named, (void *)(uintptr_t)name, ret);
}

struct place {
    uint64_t address;
    const char *prefix;
};

static bool is_there(const GElf_Shdr *section, const char *name, void *context)
{
    const struct place *place = context;

    return place->address - section->sh_addr < section->sh_size &&
           strncmp(name, place->prefix, strlen(place->prefix)) == 0;
}

bool elf_in_section(const struct elf_image *image, uint64_t address, const char *prefix,
                    uint64_t *ret_start)
{
    struct place place = {.address = address, .prefix = prefix};
    GElf_Shdr section;

    if (!find(image, is_there, &place, &section))
        return false;
    *ret_start = section.sh_addr;
    return true;
}
