#include "heap/glibc/nodes.h"

#include "base/vector.h"

int free_nodes_note(struct free_nodes *nodes, remote_addr chunk, uint64_t bytes, remote_addr fd,
                    remote_addr bk)
{
    struct free_node node = {.at = cell_of(nodes->cells, chunk, &nodes->hint),
                             .size = (uint32_t)(bytes / 16),
                             .fd = cell_of(nodes->cells, fd, &nodes->hint),
                             .bk = cell_of(nodes->cells, bk, &nodes->hint)};

    if (bytes / 16 >= NODE_SKIPPED) /* 32 GiB: no heap that is surveyed has such a chunk */
        return 0;
    return vector_push(nodes, node);
}

struct free_node *free_nodes_find(const struct free_nodes *nodes, uint32_t cell)
{
    size_t low = 0, high = nodes->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (nodes->items[middle].at < cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low < nodes->count && nodes->items[low].at == cell ? &nodes->items[low] : NULL;
}
