/* Looking up a dynamic symbol by the hash tables of the run-time linker. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/dynamic.h"
#include "elf/file.h"

/* Longest chain that is followed: well above any real one, and a bound for tables that run in
 * circles. */
enum { CHAIN_MAX = 1 << 16, NAME_MAX_BYTES = 1 << 12 };

struct lookup {
    const struct elf_image *image;
    struct elf_dynamic dynamic;
    const char *name;
    size_t name_bytes; /* with the NUL */
    char *buffer;      /* as large */
    bool found, found_default;
    Elf64_Sym symbol;
};

static bool read_word(const struct lookup *l, uint64_t address, uint32_t *ret)
{
    return elf_read_linked(l->image, address, ret, sizeof *ret) == 0;
}

static bool is_named_so(struct lookup *l, const Elf64_Sym *symbol)
{
    return symbol->st_name < l->dynamic.strings_size &&
           elf_read_linked(l->image, l->dynamic.strings + symbol->st_name, l->buffer,
                           l->name_bytes) == 0 &&
           memcmp(l->buffer, l->name, l->name_bytes) == 0;
}

/* Absolute ones are version names; thread-local ones have an offset, not an address. */
static bool has_address(const Elf64_Sym *symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);

    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS &&
           (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC || type == STT_GNU_IFUNC);
}

/* The top bit of the version hides a symbol from new links: an old version of it. */
static bool is_default(const struct lookup *l, uint32_t index)
{
    uint16_t version;

    if (l->dynamic.versions == 0)
        return true;
    return elf_read_linked(l->image, l->dynamic.versions + index * sizeof version, &version,
                           sizeof version) == 0 &&
           !(version & 0x8000);
}

static void consider(struct lookup *l, uint32_t index)
{
    Elf64_Sym symbol;

    if (elf_read_linked(l->image, l->dynamic.symbols + index * sizeof symbol, &symbol,
                        sizeof symbol) != 0 ||
        !has_address(&symbol) || !is_named_so(l, &symbol))
        return;
    l->found_default = is_default(l, index);
    if (!l->found || l->found_default)
        l->symbol = symbol;
    l->found = true;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Header: buckets, first hashed symbol, Bloom words, Bloom shift; then Bloom words, buckets, hashes
 * by symbol. */
static void search_gnu_hash(struct lookup *l)
{
    uint32_t header[4], index, hash, wanted = gnu_hash(l->name);

    if (elf_read_linked(l->image, l->dynamic.gnu_hash, header, sizeof header) != 0 ||
        header[0] == 0)
        return;
    uint64_t buckets = l->dynamic.gnu_hash + sizeof header + (uint64_t)header[2] * sizeof(uint64_t);
    uint64_t hashes = buckets + (uint64_t)header[0] * sizeof(uint32_t);
    if (!read_word(l, buckets + (uint64_t)(wanted % header[0]) * sizeof index, &index))
        return;
    for (unsigned i = 0; i < CHAIN_MAX && index >= header[1] && !l->found_default; i++, index++) {
        if (!read_word(l, hashes + (uint64_t)(index - header[1]) * sizeof hash, &hash))
            return;
        if ((hash | 1) == (wanted | 1))
            consider(l, index);
        if (hash & 1) /* the last of its bucket */
            return;
    }
}

static uint32_t sysv_hash(const char *name)
{
    uint32_t hash = 0;

    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    return hash;
}

static void search_sysv_hash(struct lookup *l)
{
    uint32_t header[2], index, wanted = sysv_hash(l->name);

    if (elf_read_linked(l->image, l->dynamic.hash, header, sizeof header) != 0 || header[0] == 0)
        return;
    uint64_t buckets = l->dynamic.hash + sizeof header;
    uint64_t chains = buckets + (uint64_t)header[0] * sizeof index;
    if (!read_word(l, buckets + (uint64_t)(wanted % header[0]) * sizeof index, &index))
        return;
    for (unsigned i = 0; i < CHAIN_MAX && index != STN_UNDEF && !l->found_default; i++) {
        consider(l, index);
        if (!read_word(l, chains + (uint64_t)index * sizeof index, &index))
            return;
    }
}

int elf_dynamic_symbol(struct elf_image *image, const char *name, remote_addr *ret_address,
                       uint64_t *ret_size)
{
    struct lookup l = {.image = image, .name = name, .name_bytes = strlen(name) + 1};

    if (l.name_bytes > NAME_MAX_BYTES || elf_dynamic_read(image, &l.dynamic) != 0)
        return OUTCOME_NOT_FOUND;
    auto_free char *buffer = l.buffer = malloc(l.name_bytes);
    if (!buffer)
        return OUTCOME_NOT_FOUND;
    if (l.dynamic.gnu_hash)
        search_gnu_hash(&l);
    else if (l.dynamic.hash)
        search_sysv_hash(&l);
    if (!l.found)
        return OUTCOME_NOT_FOUND;
    *ret_address = image->bias + l.symbol.st_value;
    if (ret_size)
        *ret_size = l.symbol.st_size;
    return 0;
}
