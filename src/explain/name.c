/* Whose the unexplained bytes are. Done when the process runs again: names come from files and a
 * few samples. */
#include <stdlib.h>
#include <string.h>

#include "explain/look.h"
#include "ledger/unexplained.h"
#include "runtime/recognise.h"

static bool keep_only(struct look *look, const struct owners *owners)
{
    if (owners->count != 1 || owners->glibc == GLIBC_MAYBE || owners->glibc == GLIBC_USED)
        return false;
    look->out->allocator = owners->items[0].name;
    memcpy(look->out->allocator_version, owners->items[0].version,
           sizeof look->out->allocator_version);
    return true;
}

/* Where no decoder serves the process: who gives its memory, if that is plain. In a program without
 * libc that can be the runtime (Go); else it is the allocator, whatever runtimes are on top. */
static int name_allocator(struct look *look, struct memory *memory, const struct owners *everyone)
{
    struct owners owners = {0};
    int r = 0;

    if (!keep_only(look, everyone)) {
        r = allocators_recognise(&look->images, memory, (struct recognitions){0}, &owners);
        if (r == 0)
            keep_only(look, &owners);
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
        r = name_allocator(look, memory, &owners);
    owners_free(&owners);
    return r;
}
