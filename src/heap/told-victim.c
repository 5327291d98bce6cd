/*
 * A heap that does what it is told, a line each, for tests that look at it before and after:
 *
 *     a SLOT SIZE    slot = malloc(size); nothing is written to it
 *     f SLOT         free(slot)
 *     r SLOT SIZE    slot = realloc(slot, size)
 *     .              answers "."
 *
 * With an argument there are no fastbins. It allocates nothing for itself.
 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SLOTS = 4096 };

static char line[64];
static void *slots[SLOTS];

static char next_char(void)
{
    static char buffer[65536];
    static ssize_t length, at;

    if (at == length) {
        length = read(0, buffer, sizeof buffer);
        at = 0;
        if (length <= 0)
            _exit(0);
    }
    return buffer[at++];
}

static void read_line(void)
{
    size_t length = 0;

    while (length + 1 < sizeof line && (line[length] = next_char()) != '\n')
        length++;
    line[length] = '\0';
}

static void step(void)
{
    char *end;
    unsigned long slot = strtoul(line + 1, &end, 10) % SLOTS, size = strtoul(end, NULL, 10);

    if (line[0] == 'f') {
        free(slots[slot]);
        slots[slot] = NULL;
    } else {
        slots[slot] = line[0] == 'r' ? realloc(slots[slot], size) : malloc(size);
        if (!slots[slot])
            abort();
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc > 1)
        mallopt(M_MXFAST, 0);
    for (;;) {
        read_line();
        if (line[0] == '.' ? write(1, ".", 1) != 1 : 0)
            return 1;
        if (line[0] != '.')
            step();
    }
}
