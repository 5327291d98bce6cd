#include "cure/points.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

void cure_point(void)
{
    static atomic_ulong count;
    const char *text = getenv("RESIDUE_TEST_DIE_AT");

    if (++count == (text ? strtoul(text, NULL, 10) : 0))
        kill(getpid(), SIGKILL);
}
