/* Mmapped chunks that were found before the process was stopped, so that a stop need not last for
 * the search. */
#include <errno.h>
#include <stdlib.h>

#include "base/vector.h"
#include "heap/glibc/mmapped.h"

static int read_header(const struct mmapped_search *search, remote_addr start, uint64_t lead,
                       uint64_t ret_header[2])
{
    return memory_read(search->view->memory, start + lead, ret_header, CHUNK_HEADER_BYTES, NULL);
}

int mmapped_remember(const struct mmapped_search *search)
{
    const struct heap_settings *settings = &search->glibc->heap.settings;
    struct heap_memo *memo = search->view->memo;
    struct memo_chunk *chunks = calloc(search->found.count + 1, sizeof *chunks);
    size_t count = 0;

    if (!chunks)
        return -ENOMEM;
    for (size_t i = 0; i < search->found.count; i++) {
        const struct heap_region *found = &search->found.items[i];
        struct memo_chunk chunk = {.range = found->range, .lead = found->lead};

        if (read_header(search, chunk.range.start, chunk.lead, chunk.header) == 0)
            chunks[count++] = chunk;
    }
    free(memo->mmapped);
    memo->mmapped = chunks;
    memo->mmapped_count = count;
    memo->mmapped_told[0] = settings->mmapped_count;
    memo->mmapped_told[1] = settings->mmapped_bytes;
    memo->mmapped_of = search->glibc->main_arena;
    return 0;
}

int mmapped_recall(struct mmapped_search *search)
{
    const struct heap_memo *memo = search->view->memo;
    int r = 0;

    for (size_t i = 0; r == 0 && i < memo->mmapped_count; i++) {
        const struct memo_chunk *chunk = &memo->mmapped[i];
        bool short_by_header =
            (chunk->header[1] & ~(uint64_t)CHUNK_FLAGS) + chunk->lead != range_length(chunk->range);
        uint64_t header[2];

        if (read_header(search, chunk->range.start, chunk->lead, header) != 0 ||
            header[0] != chunk->header[0] || header[1] != chunk->header[1])
            continue;
        search->bytes += range_length(chunk->range);
        search->whole |= !short_by_header;
        search->short_by_header |= short_by_header;
        r = vector_push(&search->found,
                        ((struct heap_region){
                            .range = chunk->range, .kind = REGION_MMAPPED, .lead = chunk->lead}));
    }
    return r;
}

bool mmapped_is_as_remembered(const struct mmapped_search *search)
{
    const struct heap_settings *settings = &search->glibc->heap.settings;
    const struct heap_memo *memo = search->view->memo;

    return search->found.count == memo->mmapped_count &&
           settings->mmapped_count == memo->mmapped_told[0] &&
           settings->mmapped_bytes == memo->mmapped_told[1];
}
