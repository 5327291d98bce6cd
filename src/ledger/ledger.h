/*
 * The ledger: every resident byte in exactly one account, the accounts adding up to the kernel's RSS.
 *
 * First by mapping and kind of page (shared, code, data, stacks), then by what decoders claim, byte by byte; last,
 * pages that hold only zeros; and what is left over is unexplained.
 */
#pragma once

#include "heap/heap.h"
#include "mem/memory.h"
#include "mem/page-image.h"
#include "procfs/maps.h"
#include "target/stacks.h"

enum account {
    ACCOUNT_SHARED,
    ACCOUNT_CODE,
    ACCOUNT_DATA,
    ACCOUNT_STACK_USED,
    ACCOUNT_STACK_STALE,
    ACCOUNT_HEAP_LIVE,
    ACCOUNT_HEAP_RETURNABLE,
    ACCOUNT_HEAP_CACHED,
    ACCOUNT_HEAP_PINNED,
    ACCOUNT_HEAP_OVERHEAD,
    ACCOUNT_ZERO_HUGE,
    ACCOUNT_ZERO_SMALL,
    ACCOUNT_UNEXPLAINED,
    ACCOUNT_COUNT,
};

/* "heap.free.returnable" and so on: the keys of the JSON ledger. */
const char *account_name(enum account account);

struct ledger {
    uint64_t bytes[ACCOUNT_COUNT];
};

uint64_t ledger_sum(const struct ledger *ledger);

/* Resident bytes that nothing explains, by mapping: for naming them. */
struct unexplained_piece {
    struct range range;      /* of the mapping's part */
    uint64_t resident_bytes; /* not explained in it */
};

struct unexplained_pieces {
    struct unexplained_piece *items;
    size_t count, capacity;
    /* These are explained: of ACCOUNT_STACK_STALE, on stacks of threads that have ended; whole pages; and of those, pages
     * that no fork shares. */
    uint64_t ended_stack_bytes, stale_page_bytes, stale_exclusive_bytes;
    uint64_t unread_bytes; /* mapped by huge pages and not tested for zeros: more than content_limit */
};

/* What the mapping pass looks at. All borrowed. */
struct ledger_view {
    struct memory *memory;             /* NULL: content may not be read; then nothing is told to be zero */
    const struct page_source *pages;
    const struct page_image *image;    /* page states of another moment, taken instead of asking `pages`; or NULL */
    const struct maps *maps;
    const struct shmem_devices *shmem;
    const struct elf_images *images;   /* where .bss ends; may be empty */
    const struct thread_stacks *stacks; /* NULL: not stopped, so no stack pointer is known */
    const struct heap_regions *regions; /* claimed by a decoder; NULL for none. Refused ones are not claimed */
    uint64_t content_limit;            /* bytes in huge pages whose content is read at most: it costs a pause */
    bool scan_small;                   /* also read pages mapped small, to tell zero ones */
};

/*
 * Adds every resident byte outside the decoders' regions to `ledger`, and lists where the unexplained ones lie.
 * `pieces` is released by the caller with free(pieces->items). 0 or negative errno.
 */
int ledger_add_mappings(const struct ledger_view *view, struct ledger *ledger, struct unexplained_pieces *pieces,
                        struct why *why) must_check;
