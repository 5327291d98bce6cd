#include "heap/glibc/census.h"

/* What is not free counts as in use: of headers of heaps and arenas too, where they share a page
 * with both. */
void census_enter_page(struct heap_census *census, struct page_use *use, remote_addr address)
{
    bool in_use = false;

    if (use->free_bytes) {
        for (unsigned word = 0; word < sizeof use->classes / sizeof *use->classes; word++)
            for (uint64_t bits = use->classes[word]; bits; bits &= bits - 1) {
                census->classes[word * 64 + (unsigned)__builtin_ctzll(bits)].pinned_pages++;
                in_use = true;
            }
        census->pinned_pages += in_use;
        census->pinning_bytes += in_use ? PAGE_BYTES - use->free_bytes : 0;
    }
    *use = (struct page_use){.page = align_down(address, PAGE_BYTES)};
}

/* Every field is a sum. */
void census_add(struct heap_census *to, const struct heap_census *from)
{
    for (unsigned i = 0; i < CENSUS_CLASSES; i++) {
        to->classes[i].blocks += from->classes[i].blocks;
        to->classes[i].bytes += from->classes[i].bytes;
        to->classes[i].pinned_pages += from->classes[i].pinned_pages;
    }
    to->pinned_pages += from->pinned_pages;
    to->pinning_bytes += from->pinning_bytes;
}
