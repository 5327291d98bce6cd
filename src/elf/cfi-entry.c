/* Parsing one FDE and the CIE that it names. */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/cfi.h"
#include "elf/file.h"

/* Far above what compilers write; they bound the work that a made-up file can cause. */
enum { FDE_BYTES_MAX = 256 << 10, CIE_BYTES_MAX = 1024 };

static int not_understood(struct why *why, const char *what, uint64_t where)
{
    return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                   "the %s at 0x%llx of .eh_frame cannot be understood", what,
                   (unsigned long long)where);
}

/* Reads the length word and then what it announces, into fresh memory. */
static int read_block(const struct elf_image *image, uint64_t where, uint32_t max,
                      uint8_t **ret_bytes, struct bytes *ret, struct why *why)
{
    uint32_t length;

    if (cfi_read(image, where, &length, sizeof length) != 0)
        return not_understood(why, "entry", where);
    if (length == 0)
        return why_set(why, OUTCOME_NOT_FOUND, "there is no entry at 0x%llx of .eh_frame",
                       (unsigned long long)where);
    if (length < 8 || length > max)
        return not_understood(why, "entry", where);

    auto_free uint8_t *bytes = malloc(length);
    if (!bytes)
        return why_set(why, -ENOMEM, "out of memory");
    if (cfi_read(image, where + sizeof length, bytes, length) != 0)
        return not_understood(why, "entry", where);
    *ret = bytes_of(bytes, length, where + sizeof length);
    *ret_bytes = bytes;
    bytes = NULL;
    return 0;
}

/* The letters behind 'z'. One that is not known may change what the instructions mean. */
static bool parse_augmentation(struct cfi_entry *entry, const char *letters, struct bytes *data)
{
    for (; *letters; letters++) {
        uint8_t encoding;

        switch (*letters) {
        case 'L': /* language-specific data */
            bytes_skip(data, 1);
            break;
        case 'P': /* personality routine */
            encoding = (uint8_t)bytes_unsigned(data, 1);
            if ((encoding & 0x70) == DW_EH_PE_aligned)
                return false;
            bytes_pointer(data, encoding & 0x0f, 0);
            break;
        case 'R':
            entry->pointer_encoding = (uint8_t)bytes_unsigned(data, 1);
            break;
        case 'S':
            entry->signal_frame = true;
            break;
        default:
            return false;
        }
    }
    return !data->failed;
}

static const char *take_string(struct bytes *bytes)
{
    const char *text = (const char *)bytes->at;
    size_t length = strnlen(text, bytes_left(bytes));

    bytes_skip(bytes, (uint64_t)length + 1);
    return bytes->failed ? NULL : text;
}

static bool parse_cie(struct cfi_entry *entry, struct bytes cie)
{
    uint64_t id = bytes_unsigned(&cie, 4), version = bytes_unsigned(&cie, 1);
    const char *augmentation = take_string(&cie);

    if (!augmentation || id != 0 || (version != 1 && version != 3))
        return false;
    entry->code_align = bytes_uleb128(&cie);
    entry->data_align = bytes_sleb128(&cie);
    uint64_t return_column = version == 1 ? bytes_unsigned(&cie, 1) : bytes_uleb128(&cie);
    if (return_column != ARCH_PROGRAM_COUNTER)
        return false;

    entry->sized = augmentation[0] == 'z';
    if (entry->sized) {
        uint64_t size = bytes_uleb128(&cie);
        struct bytes data = bytes_take(&cie, size);
        if (cie.failed || !parse_augmentation(entry, augmentation + 1, &data))
            return false;
    } else if (augmentation[0] != '\0') {
        return false;
    }
    entry->initial = cie;
    return !cie.failed;
}

static bool parse_fde(struct cfi_entry *entry, struct bytes fde)
{
    uint64_t length;

    bytes_skip(&fde, 4);
    entry->start = bytes_pointer(&fde, entry->pointer_encoding, 0);
    length = bytes_pointer(&fde, entry->pointer_encoding & 0x0f, 0);
    if (entry->sized)
        bytes_skip(&fde, bytes_uleb128(&fde));
    entry->end = entry->start + length;
    entry->program = fde;
    return !fde.failed && entry->end > entry->start;
}

int cfi_read_entry(const struct elf_image *image, uint64_t where, struct cfi_entry *ret,
                   struct why *why)
{
    cleanup(cfi_entry_release) struct cfi_entry entry = {0};
    struct bytes fde, cie, id;
    int r = read_block(image, where, FDE_BYTES_MAX, &entry.fde_bytes, &fde, why);

    if (r != 0)
        return r;
    id = fde;
    uint64_t back = bytes_unsigned(&id, 4); /* from here back to the CIE */
    if (back == 0)
        return why_set(why, OUTCOME_NOT_FOUND,
                       "there is no function's entry at 0x%llx of .eh_frame",
                       (unsigned long long)where);
    r = read_block(image, fde.address - back, CIE_BYTES_MAX, &entry.cie_bytes, &cie, why);
    if (r != 0)
        return r;
    if (!parse_cie(&entry, cie))
        return not_understood(why, "common entry", fde.address - back);
    if (!parse_fde(&entry, fde))
        return not_understood(why, "entry", where);
    *ret = entry;
    entry.cie_bytes = entry.fde_bytes = NULL;
    return 0;
}

void cfi_entry_release(struct cfi_entry *entry)
{
    free(entry->cie_bytes);
    free(entry->fde_bytes);
    entry->cie_bytes = entry->fde_bytes = NULL;
}
