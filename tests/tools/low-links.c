/*
 * A heap in which the first link of a free list leads into the heap whether it is taken for mangled
 * or not: it begins at a multiple of 64 KiB, at a low address (this is built not to be position
 * independent). Says so and waits for its input to end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTED = 5, BLOCKS = 64, BLOCK_BYTES = 64 << 10 };

int main(void)
{
    static char *listed[LISTED], *kept[BLOCKS];
    static const char ready[] = "ready\n";
    uintptr_t break_at = (uintptr_t)sbrk(0);
    char byte;

    if (sbrk((intptr_t)(-break_at & 0xffff)) == (void *)-1)
        return 1;
    for (unsigned i = 0; i < LISTED; i++)
        listed[i] = malloc(40);
    for (unsigned i = 0; i < BLOCKS; i++) {
        kept[i] = malloc(BLOCK_BYTES);
        if (!kept[i])
            return 1;
        memset(kept[i], 1, BLOCK_BYTES);
    }
    for (unsigned i = 0; i < LISTED; i++)
        free(listed[i]);
    if (write(STDOUT_FILENO, ready, strlen(ready)) < 0)
        return 1;
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}
