/* A library that has a bit of everything a run-time linker reads, for tests/fuzz/elf.c. */
extern int printf(const char *format, ...);

__thread int own __attribute__((tls_model("initial-exec")));
static __thread void *hidden __attribute__((tls_model("initial-exec")));
const char version[] = "GNU C Library stable release version 2.36.";
const char many[] = "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c";
const unsigned Py_Version = 0x030d01f0;
static char *table[4] = {(char *)version, (char *)many};

unsigned constant(void)
{
    return 209;
}

void *malloc(unsigned long size)
{
    char room[size + 1];

    hidden = room;
    if (size > 100)
        return malloc(size / 2);
    own += printf("%s %p", table[size % 4], room);
    return table[own & 1];
}

void free(void *block)
{
    hidden = block;
}
