/* Finding the entry for an address: by the linker's search table, or by one of our own. */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "elf/cfi.h"
#include "elf/file.h"
#include "elf/sections.h"

enum { SECTION_BYTES_MAX = 64 << 20 };

struct function {
    uint64_t start, end, entry;
};

struct cfi_index {
    /* Either .eh_frame_hdr's table, read where needed: pairs of 32-bit offsets from `header`,
     * sorted ... */
    uint64_t header, table;
    uint64_t table_count;
    /* ... or the section whole (static programs have no table), with a table made of it. */
    uint8_t *section;
    uint64_t section_address;
    size_t section_size;
    struct function *items;
    size_t count, capacity;
};

void cfi_index_free(struct cfi_index *index)
{
    if (!index)
        return;
    free(index->section);
    free(index->items);
    free(index);
}

int cfi_read(const struct elf_image *image, uint64_t address, void *buffer, size_t length)
{
    const struct cfi_index *index = image->cfi;

    if (!index || !index->section)
        return elf_read_linked(image, address, buffer, length);
    if (address < index->section_address)
        return OUTCOME_UNREADABLE;
    uint64_t offset = address - index->section_address;
    if (offset > index->section_size || length > index->section_size - offset)
        return OUTCOME_UNREADABLE;
    memcpy(buffer, index->section + offset, length);
    return 0;
}

/* The form that every linker writes: a sorted table of 32-bit offsets from the header. */
static bool read_table_header(const struct elf_image *image, struct cfi_index *index)
{
    Elf64_Phdr header;
    uint8_t raw[32];

    if (elf_program_header(image, PT_GNU_EH_FRAME, &header) != 0)
        return false;
    size_t size = header.p_filesz < sizeof raw ? (size_t)header.p_filesz : sizeof raw;
    if (elf_read_linked(image, header.p_vaddr, raw, size) != 0)
        return false;

    struct bytes bytes = bytes_of(raw, size, header.p_vaddr);
    uint64_t version = bytes_unsigned(&bytes, 1);
    uint8_t pointer = (uint8_t)bytes_unsigned(&bytes, 1),
            counter = (uint8_t)bytes_unsigned(&bytes, 1);
    uint64_t form = bytes_unsigned(&bytes, 1);
    if (version != 1 || form != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
        return false;
    bytes_pointer(&bytes, pointer,
                  header.p_vaddr); /* where .eh_frame starts: the table knows better */
    index->table_count = bytes_pointer(&bytes, counter, header.p_vaddr);
    index->header = header.p_vaddr;
    index->table = header.p_vaddr + (uint64_t)(bytes.at - bytes.start);
    return !bytes.failed && index->table_count > 0 && index->table_count <= header.p_filesz / 8;
}

static int load_section(const struct elf_image *image, struct cfi_index *index)
{
    Elf64_Shdr section;

    if (!elf_section_named(image, ".eh_frame", &section) || section.sh_size > SECTION_BYTES_MAX)
        return OUTCOME_NOT_FOUND;
    auto_free uint8_t *bytes = malloc(section.sh_size);
    if (!bytes)
        return -ENOMEM;
    if (elf_read_file(image, section.sh_offset, bytes, section.sh_size) != 0)
        return OUTCOME_NOT_FOUND;
    index->section = bytes;
    index->section_address = section.sh_addr;
    index->section_size = section.sh_size;
    bytes = NULL;
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct function *one = a, *other = b;

    return (one->start > other->start) - (one->start < other->start);
}

/* Entries that cannot be understood are left out: nothing is then proved of their functions. */
static int index_section(const struct elf_image *image, struct cfi_index *index)
{
    uint64_t offset = 0;
    uint32_t length;

    while (cfi_read(image, index->section_address + offset, &length, sizeof length) == 0 &&
           length != UINT32_MAX) {
        struct cfi_entry entry;
        uint64_t where = index->section_address + offset;
        int r = length ? cfi_read_entry(image, where, &entry, NULL) : OUTCOME_NOT_FOUND;

        if (r == 0) {
            r = vector_push(index, ((struct function){entry.start, entry.end, where}));
            cfi_entry_release(&entry);
        }
        if (r < 0)
            return r;
        offset += sizeof length + (uint64_t)length;
    }
    if (index->count > 0)
        qsort(index->items, index->count, sizeof *index->items, by_start);
    return 0;
}

static int make_index(struct elf_image *image)
{
    if (!(image->cfi = calloc(1, sizeof *image->cfi)))
        return -ENOMEM;
    if (read_table_header(image, image->cfi))
        return 0;
    image->cfi->table_count = 0;
    int r = load_section(image, image->cfi);
    if (r == 0)
        r = index_section(image, image->cfi);
    return r < 0 ? r : 0;
}

/* One pair of the linker's table. */
static bool table_pair(const struct elf_image *image, uint64_t i, uint64_t *ret_start,
                       uint64_t *ret_entry)
{
    const struct cfi_index *index = image->cfi;
    int32_t pair[2];

    if (elf_read_linked(image, index->table + i * sizeof pair, pair, sizeof pair) != 0)
        return false;
    *ret_start = index->header + (uint64_t)(int64_t)pair[0];
    *ret_entry = index->header + (uint64_t)(int64_t)pair[1];
    return true;
}

/* The last entry that starts at or before `address`. */
static bool search_table(const struct elf_image *image, uint64_t address, uint64_t *ret_entry)
{
    uint64_t low = 0, high = image->cfi->table_count;
    bool found = false;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2, start, entry;
        if (!table_pair(image, middle, &start, &entry))
            return false;
        if (start > address) {
            high = middle;
        } else {
            low = middle + 1;
            *ret_entry = entry;
            found = true;
        }
    }
    return found;
}

static bool search_index(const struct cfi_index *index, uint64_t address, uint64_t *ret_entry)
{
    size_t low = 0, high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->items[middle].start > address)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0)
        return false;
    *ret_entry = index->items[low - 1].entry;
    return true;
}

static int none(struct why *why, const struct elf_image *image, uint64_t address)
{
    return why_set(why, OUTCOME_NOT_FOUND, "%s has no call frame information for 0x%llx",
                   image->path ? image->path : "the image", (unsigned long long)address);
}

int cfi_find(struct elf_image *image, uint64_t address, struct cfi_entry *ret, struct why *why)
{
    uint64_t where;
    struct cfi_entry entry;

    if (!image->elf || image->is_32_bit)
        return why_set(why, OUTCOME_NOT_FOUND, "%s is no 64-bit image that could be opened",
                       image->path ? image->path : "the image");
    int r = image->cfi ? 0 : make_index(image);
    if (r != 0)
        return why_set(why, r, "out of memory");

    bool found = image->cfi->table_count ? search_table(image, address, &where)
                                         : search_index(image->cfi, address, &where);
    if (!found)
        return none(why, image, address);
    r = cfi_read_entry(image, where, &entry, why);
    if (r != 0)
        return r;
    if (address < entry.start || address >= entry.end) {
        cfi_entry_release(&entry);
        return none(why, image, address);
    }
    *ret = entry;
    return 0;
}
