#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"

/* The extent that ends at this page grows; else another begins. */
static struct fake_extent *add_page(struct fuzz_process *process, remote_addr page, uint8_t flags)
{
    struct fake_extent *extent =
        process->extent_count ? &process->extents[process->extent_count - 1] : NULL;

    if (!extent || extent->start + extent->pages * PAGE_BYTES != page) {
        fuzz_check(process->extent_count < PROCESS_EXTENTS_MOST);
        fuzz_check(!extent || page > extent->start);
        extent = &process->extents[process->extent_count++];
        extent->start = page;
    }
    extent->bytes = realloc(extent->bytes, (extent->pages + 1) * PAGE_BYTES);
    extent->flags = realloc(extent->flags, extent->pages + 1);
    fuzz_check(extent->bytes && extent->flags);
    memset(extent->bytes + extent->pages * PAGE_BYTES, 0, PAGE_BYTES);
    extent->flags[extent->pages++] = flags;
    return extent;
}

static void add_words(struct fuzz_process *process, const char *text)
{
    struct fake_extent *extent;
    char *rest;
    uint64_t offset = strtoull(text, &rest, 16);

    fuzz_check(process->extent_count > 0);
    extent = &process->extents[process->extent_count - 1];
    for (; *rest == ' '; offset += sizeof(uint64_t)) {
        uint64_t word = strtoull(rest, &rest, 16);

        fuzz_check(offset <= PAGE_BYTES - sizeof word);
        memcpy(extent->bytes + (extent->pages - 1) * PAGE_BYTES + offset, &word, sizeof word);
    }
}

static void add_thread(struct fuzz_process *process, const char *text)
{
    struct heap_thread *thread = &process->threads[process->thread_count++];
    char *rest;

    fuzz_check(process->thread_count <= PROCESS_THREADS_MOST);
    thread->tid = (pid_t)strtoul(text, &rest, 10);
    thread->thread_pointer = strtoull(rest, NULL, 16);
}

static void take_line(struct fuzz_process *process, const char *line, FILE *maps)
{
    uint64_t page;
    unsigned flags;

    if (strncmp(line, "map ", 4) == 0)
        fprintf(maps, "%s", line + 4);
    else if (strncmp(line, "thread ", 7) == 0)
        add_thread(process, line + 7);
    else if (sscanf(line, "page %" SCNx64 " %x", &page, &flags) == 2)
        add_page(process, page, (uint8_t)flags);
    else if (line[0] == '@')
        add_words(process, line + 1);
    else
        fuzz_check(line[0] == '#');
}

static uint64_t word_at(const struct fake_extent *extent, size_t offset)
{
    uint64_t word;

    memcpy(&word, extent->bytes + offset, sizeof word);
    return word;
}

/* A word behind another in use is where the other's neighbour would be. */
static void find_words(struct fuzz_process *process)
{
    for (size_t i = 0; i < process->extent_count; i++) {
        const struct fake_extent *extent = &process->extents[i];
        bool follows = false;

        for (size_t offset = 0; offset < extent->pages * PAGE_BYTES; offset += sizeof(uint64_t)) {
            bool used = word_at(extent, offset) != 0;

            if (used || follows)
                fuzz_check(vector_push(&process->words, extent->start + offset) == 0);
            follows = used;
        }
    }
}

static void finish(struct fuzz_process *process)
{
    process->vmas = malloc(process->maps.count * sizeof *process->vmas);
    fuzz_check(process->vmas);
    memcpy(process->vmas, process->maps.items, process->maps.count * sizeof *process->vmas);
    find_words(process);
    fake_memory_init(&process->memory, process->extents, process->extent_count);
}

void fuzz_process_load(struct fuzz_process *process, const char *path)
{
    auto_free char *text = NULL, *line = NULL;
    size_t length = 0, capacity = 0;
    FILE *file = fopen(path, "re"), *maps = open_memstream(&text, &length);
    struct why why;

    fuzz_check(file && maps);
    *process = (struct fuzz_process){0};
    while (getline(&line, &capacity, file) > 0)
        take_line(process, line, maps);
    fclose(file);
    fclose(maps);
    fuzz_check(maps_parse(text, length, &process->maps, &why) == 0);
    finish(process);
}

static void adopt_extent(struct fuzz_process *process, const struct fake_extent *extent)
{
    for (size_t i = 0; i < extent->pages; i++) {
        uint8_t flags = extent->flags ? extent->flags[i] : PAGE_PRESENT | PAGE_EXCLUSIVE;
        struct fake_extent *copy = add_page(process, extent->start + i * PAGE_BYTES, flags);

        memcpy(copy->bytes + (copy->pages - 1) * PAGE_BYTES, extent->bytes + i * PAGE_BYTES,
               PAGE_BYTES);
    }
}

static int by_start(const void *a, const void *b)
{
    const struct fake_extent *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

void fuzz_process_adopt(struct fuzz_process *process, const struct heap_view *view,
                        const struct fake_extent *extents, size_t extent_count)
{
    struct fake_extent sorted[PROCESS_EXTENTS_MOST];

    fuzz_check(extent_count <= PROCESS_EXTENTS_MOST && view->thread_count <= PROCESS_THREADS_MOST);
    *process = (struct fuzz_process){.thread_count = view->thread_count};
    memcpy(sorted, extents, extent_count * sizeof *sorted);
    qsort(sorted, extent_count, sizeof *sorted, by_start);
    for (size_t i = 0; i < extent_count; i++)
        adopt_extent(process, &sorted[i]);
    memcpy(process->threads, view->threads, view->thread_count * sizeof *process->threads);
    for (size_t i = 0; i < view->maps->count; i++)
        fuzz_check(vector_push(&process->maps, view->maps->items[i]) == 0);
    finish(process);
}

static void change(struct fuzz_process *process, uint8_t *at, uint8_t byte)
{
    if (*at == byte)
        return;
    fuzz_check(vector_push(&process->undo, ((struct fuzz_old){at, *at})) == 0);
    *at = byte;
}

/* The byte with this index in all of memory, and how many follow it in its extent; NULL beyond the
 * end. */
static uint8_t *byte_at(struct fuzz_process *process, size_t index, size_t *ret_left)
{
    for (size_t i = 0; i < process->extent_count; i++) {
        size_t bytes = process->extents[i].pages * PAGE_BYTES;

        if (index < bytes) {
            *ret_left = bytes - index;
            return process->extents[i].bytes + index;
        }
        index -= bytes;
    }
    return NULL;
}

static size_t count_pages(const struct fuzz_process *process)
{
    size_t pages = 0;

    for (size_t i = 0; i < process->extent_count; i++)
        pages += process->extents[i].pages;
    return pages;
}

static uint8_t *word_of_address(struct fuzz_process *process, remote_addr address, size_t *ret_left)
{
    for (size_t i = 0; i < process->extent_count; i++) {
        struct fake_extent *extent = &process->extents[i];
        uint64_t bytes = extent->pages * PAGE_BYTES;

        if (address >= extent->start && address - extent->start < bytes) {
            *ret_left = bytes - (address - extent->start);
            return extent->bytes + (address - extent->start);
        }
    }
    return NULL;
}

static remote_addr address_of(const struct fuzz_process *process, const uint8_t *at)
{
    for (size_t i = 0; i < process->extent_count; i++) {
        const struct fake_extent *extent = &process->extents[i];

        if (at >= extent->bytes && at < extent->bytes + extent->pages * PAGE_BYTES)
            return extent->start + (uint64_t)(at - extent->bytes);
    }
    return 0;
}

static uint8_t *chosen_word(struct fuzz_process *process, uint64_t index, bool any,
                            size_t *ret_left)
{
    if (any)
        return byte_at(process, index % (count_pages(process) * PAGE_BYTES / 8) * 8, ret_left);
    return word_of_address(process, process->words.items[index % process->words.count], ret_left);
}

static void store(struct fuzz_process *process, uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        change(process, at + i, (uint8_t)(value >> 8 * i));
}

static uint64_t load(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* `at` is a size word with room behind it for another; both halves look in use as the whole did. */
static void split(struct fuzz_process *process, uint8_t *at, size_t left, uint64_t first)
{
    uint64_t size = load(at);

    first &= ~UINT64_C(15);
    if (first < 32 || first + 32 > (size & ~UINT64_C(15)) || first > left - 8)
        return;
    store(process, at, first | (size & 7), 8);
    store(process, at + first, (size - first) | 1, 8);
}

static void edit_word(struct fuzz_process *process, const struct fuzz_edit *edit, unsigned kind)
{
    size_t left = 0, other_left = 0;
    bool any = edit->how & EDIT_ANY_WORD;
    uint8_t *at = chosen_word(process, edit->where, any, &left);
    uint64_t value = load(edit->value);
    size_t bytes = edit->how % 8 + 1u, offset = edit->how / 8 % 8;

    switch (kind) {
    case EDIT_SET:
        store(process, at, value, 8);
        break;
    case EDIT_XOR:
        store(process, at, load(at) ^ value, 8);
        break;
    case EDIT_ADD:
        store(process, at, load(at) + value, 8);
        break;
    case EDIT_POINT:
        store(process, at, align_down(process->words.items[value % process->words.count], 16), 8);
        break;
    case EDIT_LINK:
        store(process, at,
              align_down(process->words.items[value % process->words.count], 16) ^
                  address_of(process, at) >> 12,
              8);
        break;
    case EDIT_COPY:
        store(process, at, load(chosen_word(process, value, any, &other_left)), 8);
        break;
    case EDIT_STORE:
        store(process, at + offset, value, bytes + offset > left ? 0 : bytes);
        break;
    case EDIT_SPLIT:
        split(process, at, left, value);
        break;
    }
}

static void edit_page(struct fuzz_process *process, size_t index, uint8_t flags)
{
    index %= count_pages(process);
    for (size_t i = 0; i < process->extent_count; i++) {
        if (index < process->extents[i].pages) {
            if (flags & PAGE_PRESENT) /* none is both */
                flags &= (uint8_t)~PAGE_SWAPPED;
            change(process, &process->extents[i].flags[index], flags);
            return;
        }
        index -= process->extents[i].pages;
    }
}

/* Keeps what maps_parse promises: aligned, ascending, not overlapping, not empty. */
static void edit_map(struct fuzz_process *process, const struct fuzz_edit *edit)
{
    size_t index = edit->where % process->maps.count;
    struct vma *vma = &process->maps.items[index];
    remote_addr moved = load(edit->value) % 64 * PAGE_BYTES;

    vma->readable ^= edit->how & 1;
    vma->writable ^= (edit->how & 2) != 0;
    vma->shared ^= (edit->how & 4) != 0;
    vma->hugetlb ^= (edit->how & 8) != 0;
    vma->locked ^= (edit->how & 16) != 0;
    vma->inode ^= (edit->how & 32) != 0;
    if (edit->how & 64 && vma->range.start + moved < vma->range.end)
        vma->range.start += moved;
    if (edit->how & 128 && vma->range.end - moved > vma->range.start && moved < vma->range.end)
        vma->range.end -= moved;
}

void fuzz_process_edit(struct fuzz_process *process, const struct fuzz_edit *edit)
{
    unsigned kind = edit->kind % FUZZ_EDITS;

    if (kind == EDIT_PAGE)
        edit_page(process, edit->where, edit->how);
    else if (kind == EDIT_MAP)
        edit_map(process, edit);
    else
        edit_word(process, edit, kind);
}

void fuzz_process_fill(struct fuzz_process *process, size_t page, size_t offset,
                       const uint8_t *data, size_t size)
{
    size_t left = 0;
    uint8_t *at = byte_at(process, page * PAGE_BYTES + offset, &left);

    for (size_t i = 0; at && i < size && i < left; i++)
        change(process, at + i, data[i]);
}

void fuzz_process_restore(struct fuzz_process *process)
{
    while (process->undo.count) {
        struct fuzz_old *old = &process->undo.items[--process->undo.count];

        *old->at = old->byte;
    }
    memcpy(process->maps.items, process->vmas, process->maps.count * sizeof *process->vmas);
    process->memory.reads_of_absent = 0;
}

uint64_t fuzz_process_resident(const struct fuzz_process *process, struct range range)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < process->extent_count; i++)
        for (size_t k = 0; k < process->extents[i].pages; k++) {
            remote_addr start = process->extents[i].start + k * PAGE_BYTES,
                        end = start + PAGE_BYTES;

            if (!page_is_resident(process->extents[i].flags[k]) || end <= range.start ||
                start >= range.end)
                continue;
            bytes +=
                (end < range.end ? end : range.end) - (start > range.start ? start : range.start);
        }
    return bytes;
}
