/*
 * Takes memory from whatever malloc it is given, in small blocks, and tells which version that says
 * it is: a line on standard output. Then waits for its input to end.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 65536, BLOCK_BYTES = 128 };

static char *blocks[BLOCKS];

/* A function pointer out of dlsym, without a conversion that ISO C forbids. */
#define SYMBOL(function, name) (*(void **)&(function) = dlsym(RTLD_DEFAULT, name))

int main(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t);
    const char *(*tc_version)(int *, int *, const char **);
    int (*mi_version)(void);
    unsigned (*gc_version)(void);
    const char *text = "-";
    size_t length = sizeof text;
    char buffer[64];

    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        if (!blocks[i])
            return 1;
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    if (SYMBOL(mallctl, "mallctl"))
        mallctl("version", &text, &length, NULL, 0);
    else if (SYMBOL(tc_version, "tc_version"))
        text = tc_version(NULL, NULL, NULL);
    else if (SYMBOL(mi_version, "mi_version")) {
        int version = mi_version();
        snprintf(buffer, sizeof buffer, "%d.%d.%d", version / 100, version / 10 % 10, version % 10);
        text = buffer;
    }
    if (SYMBOL(gc_version, "GC_get_version")) {
        unsigned version = gc_version();
        snprintf(buffer, sizeof buffer, "%u.%u.%u", version >> 16, version >> 8 & 0xff,
                 version & 0xff);
        text = buffer;
    }
    printf("%s\n", text);
    fflush(stdout);
    return read(STDIN_FILENO, buffer, 1) == 0 ? 0 : 1;
}
