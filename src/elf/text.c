#include "elf/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/file.h"

/* Neighbouring chunks share 2 * MARGIN bytes, so that every hit has what is around it in one of
 * them. */
enum { CHUNK_BYTES = 256 << 10, MARGIN = ELF_TEXT_BYTES, BUCKET_BITS = 12 };

struct chunk {
    char *bytes;
    size_t length;
    size_t from, to; /* hits that begin here are this chunk's */
};

/* The printable text around `hit`, of which the needle is a part. Returns where the needle is in
 * it. */
static const char *text_around(const struct chunk *chunk, const char *hit, size_t needle_length,
                               char text[ELF_TEXT_BYTES])
{
    const char *start = hit, *end = hit + needle_length, *limit = chunk->bytes + chunk->length;
    size_t most_before = (ELF_TEXT_BYTES - needle_length) / 2;

    while (start > chunk->bytes && (size_t)(hit - start) < most_before &&
           isprint((unsigned char)start[-1]))
        start--;
    while (end < limit && end - start < ELF_TEXT_BYTES - 1 && isprint((unsigned char)*end))
        end++;
    memcpy(text, start, (size_t)(end - start));
    text[end - start] = '\0';
    return text + (hit - start);
}

/* Which needles begin with two bytes that fall into a bucket: one look-up a byte rules nearly all
 * of them out. */
struct beginnings {
    uint16_t needles[1 << BUCKET_BITS]; /* a bit each */
};

static unsigned bucket_of(uint8_t first, uint8_t second)
{
    return (unsigned)first << (BUCKET_BITS - 8) ^ second;
}

static bool is_wanted(const struct elf_text_search *search)
{
    size_t length = strlen(search->needle);

    return !search->found && length > 0 && length < ELF_NEEDLE_BYTES;
}

static bool any_wanted(const struct elf_text_search *searches, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_wanted(&searches[i]))
            return true;
    return false;
}

static void index_beginnings(const struct elf_text_search *searches, size_t count,
                             struct beginnings *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *needle = (const uint8_t *)searches[i].needle;

        if (!is_wanted(&searches[i]))
            continue;
        for (unsigned second = 0; second < 256; second++)
            if (needle[1] == '\0' || needle[1] == second)
                ret->needles[bucket_of(needle[0], (uint8_t)second)] |= (uint16_t)(1u << i);
    }
}

static void try_at(const struct chunk *chunk, size_t at, struct elf_text_search *search)
{
    size_t length = strlen(search->needle);
    char text[ELF_TEXT_BYTES];

    if (search->found || chunk->length - at < length ||
        memcmp(chunk->bytes + at, search->needle, length) != 0)
        return;
    search->found =
        search->accept(search->context, text, text_around(chunk, chunk->bytes + at, length, text));
}

static void search_chunk(const struct chunk *chunk, const struct beginnings *beginnings,
                         struct elf_text_search *searches, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)chunk->bytes;

    for (size_t at = chunk->from; at < chunk->to; at++) {
        uint8_t second = at + 1 < chunk->length ? bytes[at + 1] : 0;
        uint16_t needles = beginnings->needles[bucket_of(bytes[at], second)];

        for (size_t i = 0; needles && i < count; i++, needles >>= 1)
            if (needles & 1)
                try_at(chunk, at, &searches[i]);
    }
}

static int search_segment(struct elf_image *image, const struct elf_segment *segment, char *buffer,
                          const struct beginnings *beginnings, struct elf_text_search *searches,
                          size_t count)
{
    uint64_t left;

    for (uint64_t at = 0; at < segment->file_bytes; at += CHUNK_BYTES - 2 * MARGIN) {
        left = segment->file_bytes - at;
        struct chunk chunk = {.bytes = buffer, .length = left < CHUNK_BYTES ? left : CHUNK_BYTES};
        bool last = chunk.length == left;

        chunk.from = at == 0 ? 0 : MARGIN;
        chunk.to = last ? chunk.length : chunk.length - MARGIN;
        if (elf_read_file(image, segment->file_offset + at, buffer, chunk.length) != 0)
            return OUTCOME_NOT_FOUND;
        search_chunk(&chunk, beginnings, searches, count);
        if (last || !any_wanted(searches, count))
            break;
    }
    return 0;
}

static bool is_constants(const struct elf_segment *segment, bool or_code)
{
    return segment->readable && !segment->writable && (or_code || !segment->executable);
}

int elf_search_text(struct elf_image *image, struct elf_text_search *searches, size_t count)
{
    auto_free char *buffer = malloc(CHUNK_BYTES);
    struct beginnings beginnings;
    bool or_code = true;
    int r = image->elf ? 0 : OUTCOME_NOT_FOUND;

    if (!buffer)
        return -ENOMEM;
    if (count > ELF_TEXT_SEARCHES_MOST)
        return -EINVAL;
    index_beginnings(searches, count, &beginnings);
    for (size_t i = 0; i < image->segment_count; i++)
        if (is_constants(&image->segments[i], false))
            or_code = false;
    for (size_t i = 0; r == 0 && i < image->segment_count && any_wanted(searches, count); i++)
        if (is_constants(&image->segments[i], or_code))
            r = search_segment(image, &image->segments[i], buffer, &beginnings, searches, count);
    return r;
}
