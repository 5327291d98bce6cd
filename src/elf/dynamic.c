#include "elf/dynamic.h"

#include <elf.h>

#include "elf/arch/x86_64.h"
#include "elf/file.h"

enum { DYNAMIC_ENTRIES_MAX = 1024, RELOCATIONS_AT_ONCE = 64 };

static void take_entry(struct elf_dynamic *dynamic, const Elf64_Dyn *entry)
{
    switch (entry->d_tag) {
    case DT_SYMTAB:
        dynamic->symbols = entry->d_un.d_ptr;
        break;
    case DT_STRTAB:
        dynamic->strings = entry->d_un.d_ptr;
        break;
    case DT_STRSZ:
        dynamic->strings_size = entry->d_un.d_val;
        break;
    case DT_VERSYM:
        dynamic->versions = entry->d_un.d_ptr;
        break;
    case DT_GNU_HASH:
        dynamic->gnu_hash = entry->d_un.d_ptr;
        break;
    case DT_HASH:
        dynamic->hash = entry->d_un.d_ptr;
        break;
    case DT_RELA:
        dynamic->relocations = entry->d_un.d_ptr;
        break;
    case DT_RELASZ:
        dynamic->relocations_size = entry->d_un.d_val;
        break;
    }
}

int elf_dynamic_read(const struct elf_image *image, struct elf_dynamic *ret)
{
    struct elf_dynamic dynamic = {0};
    Elf64_Phdr header;

    if (!image->elf || image->is_32_bit || elf_program_header(image, PT_DYNAMIC, &header) != 0)
        return OUTCOME_NOT_FOUND;
    for (size_t i = 0; i < DYNAMIC_ENTRIES_MAX && (i + 1) * sizeof(Elf64_Dyn) <= header.p_filesz;
         i++) {
        Elf64_Dyn entry;
        if (elf_read_linked(image, header.p_vaddr + i * sizeof entry, &entry, sizeof entry) != 0)
            return OUTCOME_NOT_FOUND;
        if (entry.d_tag == DT_NULL)
            break;
        take_entry(&dynamic, &entry);
    }
    *ret = dynamic;
    return 0;
}

/* A slot that the program could not write would not be one. */
static bool is_slot(const struct elf_image *image, remote_addr slot)
{
    for (size_t i = 0; i < image->segment_count; i++)
        if (image->segments[i].writable &&
            range_holds(image->segments[i].memory, slot, sizeof(uint64_t)))
            return slot % sizeof(uint64_t) == 0;
    return false;
}

static int each_slot(const struct elf_image *image, const Elf64_Rela *relocations, size_t count,
                     int (*each)(void *context, remote_addr slot), void *context)
{
    for (size_t i = 0; i < count; i++) {
        remote_addr slot = image->bias + relocations[i].r_offset;
        bool wanted = ELF64_R_TYPE(relocations[i].r_info) == ARCH_TPOFF_RELOCATION &&
                      ELF64_R_SYM(relocations[i].r_info) == STN_UNDEF && is_slot(image, slot);
        int r = wanted ? each(context, slot) : 0;
        if (r != 0)
            return r;
    }
    return 0;
}

int elf_each_tls_slot(struct elf_image *image, int (*each)(void *context, remote_addr slot),
                      void *context)
{
    Elf64_Rela relocations[RELOCATIONS_AT_ONCE];
    struct elf_dynamic dynamic;
    int r = elf_dynamic_read(image, &dynamic);

    if (r != 0)
        return r;
    uint64_t count = dynamic.relocations ? dynamic.relocations_size / sizeof relocations[0] : 0;
    for (uint64_t i = 0; i < count && r == 0; i += RELOCATIONS_AT_ONCE) {
        size_t some = count - i < RELOCATIONS_AT_ONCE ? (size_t)(count - i) : RELOCATIONS_AT_ONCE;
        if (elf_read_linked(image, dynamic.relocations + i * sizeof relocations[0], relocations,
                            some * sizeof relocations[0]) != 0)
            return OUTCOME_NOT_FOUND;
        r = each_slot(image, relocations, some, each, context);
    }
    return r;
}
