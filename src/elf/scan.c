/* Searching an image's file: text, code references, notes. Chunk by chunk, so that nothing large is
 * kept. */
#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/arch/x86_64.h"
#include "elf/cfi.h"
#include "elf/file.h"

enum { CHUNK_BYTES = 256 << 10 };

struct scan {
    const struct elf_image *image;
    const struct elf_segment *segment;
    uint8_t *chunk;
    size_t overlap; /* bytes that two neighbouring chunks share, so that nothing is cut in two */
    /* `address`: remote address of chunk[0]. Non-zero ends the scan. */
    int (*look)(struct scan *scan, remote_addr address, size_t length);
    union {
        struct {
            const char *needle;
            size_t needle_length;
            remote_addr found;
        };
        struct {
            struct range data;
            int (*each)(void *context, remote_addr where);
            void *context;
        };
    };
};

enum { SCAN_FOUND = 1000 };

static int scan_segment(struct scan *scan)
{
    const struct elf_segment *segment = scan->segment;

    for (uint64_t at = 0; at < segment->file_bytes; at += CHUNK_BYTES - scan->overlap) {
        uint64_t left = segment->file_bytes - at;
        size_t length = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

        if (elf_read_file(scan->image, segment->file_offset + at, scan->chunk, length) != 0)
            return OUTCOME_NOT_FOUND;
        int r = scan->look(scan, segment->memory.start + at, length);
        if (r != 0 || length == left)
            return r;
    }
    return 0;
}

static int scan_segments(struct scan *scan, bool executable)
{
    auto_free uint8_t *chunk = malloc(CHUNK_BYTES);
    int r = 0;

    if (!chunk || !scan->image->elf)
        return OUTCOME_NOT_FOUND;
    scan->chunk = chunk;
    for (size_t i = 0; r == 0 && i < scan->image->segment_count; i++) {
        const struct elf_segment *segment = &scan->image->segments[i];

        scan->segment = segment;
        if (executable ? segment->executable : !segment->writable)
            r = scan_segment(scan);
    }
    return r;
}

static int look_for_text(struct scan *scan, remote_addr address, size_t length)
{
    const uint8_t *hit = memmem(scan->chunk, length, scan->needle, scan->needle_length);

    if (!hit)
        return 0;
    scan->found = address + (uint64_t)(hit - scan->chunk);
    return SCAN_FOUND;
}

int elf_find_text(struct elf_image *image, const char *needle, char *text, size_t size)
{
    struct scan scan = {
        .image = image, .look = look_for_text, .needle = needle, .needle_length = strlen(needle)};

    if (scan.needle_length == 0 || scan.needle_length > CHUNK_BYTES / 2 || size == 0)
        return OUTCOME_NOT_FOUND;
    scan.overlap = scan.needle_length - 1;
    if (scan_segments(&scan, false) != SCAN_FOUND)
        return OUTCOME_NOT_FOUND;

    uint64_t left = scan.segment->memory.start + scan.segment->file_bytes - scan.found;
    size_t length = left < size - 1 ? (size_t)left : size - 1;
    auto_free char *bytes = malloc(length + 1);
    if (!bytes || elf_read_linked(image, scan.found - image->bias, bytes, length) != 0)
        return OUTCOME_NOT_FOUND;
    size_t printable = 0;
    while (printable < length && isprint((unsigned char)bytes[printable]))
        printable++;
    memcpy(text, bytes, printable);
    text[printable] = '\0';
    return 0;
}

static bool points_into(struct range data, uint64_t next_byte)
{
    static const uint8_t after[] = ARCH_BYTES_AFTER_DISPLACEMENT;

    for (size_t i = 0; i < sizeof after; i++)
        if (range_has(data, next_byte + after[i]))
            return true;
    return false;
}

static int look_for_references(struct scan *scan, remote_addr address, size_t length)
{
    /* Most bytes fail this one comparison, which allows for the longest immediate. */
    uint64_t low = scan->data.start - 4, width = scan->data.end - low;

    for (size_t i = 1; i + 4 <= length; i++) {
        int32_t displacement;
        memcpy(&displacement, scan->chunk + i, sizeof displacement);
        uint64_t next_byte = address + i + 4 + (uint64_t)(int64_t)displacement;

        if (next_byte - low >= width || !arch_is_rip_relative(scan->chunk[i - 1]) ||
            !points_into(scan->data, next_byte))
            continue;
        int r = scan->each(scan->context, address + i);
        if (r != 0)
            return r;
    }
    return 0;
}

int elf_each_reference(struct elf_image *image, struct range data,
                       int (*each)(void *context, remote_addr where), void *context)
{
    struct scan scan = {.image = image, .overlap = 4, .look = look_for_references};

    scan.data = data;
    scan.each = each;
    scan.context = context;
    return data.start < data.end ? scan_segments(&scan, true) : 0;
}

int elf_function_at(struct elf_image *image, remote_addr address, struct range *ret_function)
{
    struct cfi_entry entry;

    if (cfi_find(image, address - image->bias, &entry, NULL) != 0)
        return OUTCOME_NOT_FOUND;
    struct range function = {entry.start + image->bias, entry.end + image->bias};
    cfi_entry_release(&entry);
    if (!range_holds(image->range, function.start, function.end - function.start))
        return OUTCOME_NOT_FOUND; /* of nothing that is loaded, whatever it says */
    *ret_function = function;
    return 0;
}
