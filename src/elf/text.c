#include "elf/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/file.h"

/* Neighbouring chunks share 2 * MARGIN bytes, so that every hit has what is around it in one of
 * them. */
enum { CHUNK_BYTES = 256 << 10, MARGIN = ELF_TEXT_BYTES };

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

static void search_chunk(const struct chunk *chunk, struct elf_text_search *search)
{
    size_t needle_length = strlen(search->needle), at = chunk->from;
    char text[ELF_TEXT_BYTES];

    if (needle_length == 0 || needle_length >= ELF_NEEDLE_BYTES)
        return;
    while (!search->found && at < chunk->to) {
        const char *hit =
            memmem(chunk->bytes + at, chunk->length - at, search->needle, needle_length);
        if (!hit || (size_t)(hit - chunk->bytes) >= chunk->to)
            return;
        const char *in_text = text_around(chunk, hit, needle_length, text);
        search->found = search->accept(search->context, text, in_text);
        at = (size_t)(hit - chunk->bytes) + 1;
    }
}

static int search_segment(struct elf_image *image, const struct elf_segment *segment, char *buffer,
                          struct elf_text_search *searches, size_t count)
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
        for (size_t i = 0; i < count; i++)
            if (!searches[i].found)
                search_chunk(&chunk, &searches[i]);
        if (last)
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
    bool or_code = true;
    int r = image->elf ? 0 : OUTCOME_NOT_FOUND;

    if (!buffer)
        return -ENOMEM;
    for (size_t i = 0; i < image->segment_count; i++)
        if (is_constants(&image->segments[i], false))
            or_code = false;
    for (size_t i = 0; r == 0 && i < image->segment_count; i++)
        if (is_constants(&image->segments[i], or_code))
            r = search_segment(image, &image->segments[i], buffer, searches, count);
    return r;
}
