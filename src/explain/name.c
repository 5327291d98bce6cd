/* Whose the unexplained bytes are. Done when the process runs again: names come from files and a
 * few samples. */
#include <stdlib.h>
#include <string.h>

#include "explain/look.h"
#include "ledger/unexplained.h"
#include "runtime/recognise.h"

/* Where no decoder serves the process: who gives its malloc, if that is plain. */
static int name_allocator(struct look *look, struct memory *memory)
{
    struct explanation *out = look->out;
    struct owners owners = {0};
    int r = allocators_recognise(&look->images, memory, &owners);

    if (r == 0 && owners.count == 1 &&
        (owners.glibc == GLIBC_UNUSED || owners.glibc == GLIBC_ABSENT)) {
        out->allocator = owners.items[0].name;
        memcpy(out->allocator_version, owners.items[0].version, sizeof out->allocator_version);
    }
    owners_free(&owners);
    return r;
}

int name_unexplained(struct look *look, struct why *why)
{
    struct memory *memory = look->target.has_memory ? &look->target.memory.memory : NULL;
    struct owners owners = {0};
    struct unexplained_view view = {.owners = &owners,
                                    .pieces = &look->pieces,
                                    .maps = &look->maps,
                                    .memory = memory,
                                    .heap = look->heap,
                                    .stacks_known =
                                        look->out->stopped && look->stacks.unknown == 0};
    int r = owners_recognise(&look->images, &look->maps, memory, &owners);

    if (r == 0)
        r = unexplained_attribute(&view, &look->out->unexplained_by, why);
    if (r == 0 && !look->heap && !look->out->allocator)
        r = name_allocator(look, memory);
    owners_free(&owners);
    return r;
}
