#include "elf/stack.h"

#include <string.h>

static int load_page(struct stack_reader *reader, remote_addr page, struct why *why)
{
    uint8_t flags = 0;
    int r = memory_page_flags(reader->memory, page, 1, &flags, why);

    reader->page = 0;
    if (r == 0 && (flags & PAGE_PRESENT))
        r = memory_read_pages(reader->memory, page, 1, &flags, reader->bytes, why);
    if (r != 0)
        return r;
    if (!(flags & PAGE_PRESENT) || (flags & PAGE_UNREADABLE))
        return why_set(why, OUTCOME_UNREADABLE, "the stack's page at 0x%llx is not in memory",
                       (unsigned long long)page);
    reader->page = page;
    return 0;
}

int stack_read(struct stack_reader *reader, remote_addr address, size_t size, uint64_t *ret_value,
               struct why *why)
{
    remote_addr page = align_down(address, PAGE_BYTES);
    uint64_t offset = address - page, value = 0;

    if (size == 0 || size > sizeof value || page == 0 || address > UINT64_MAX / 2)
        return why_set(why, OUTCOME_UNREADABLE, "0x%llx is no address of a stack",
                       (unsigned long long)address);
    if (offset + size > PAGE_BYTES) {
        int r = memory_read(reader->memory, address, &value, size, why);
        if (r == 0)
            *ret_value = value;
        return r;
    }
    int r = reader->page == page ? 0 : load_page(reader, page, why);
    if (r != 0)
        return r;
    memcpy(&value, reader->bytes + offset, size);
    *ret_value = value;
    return 0;
}
