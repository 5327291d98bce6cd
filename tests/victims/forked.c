/* A process that a program of several threads has forked: of its threads only one goes on, and what
 * the others had in their caches is lost to it for ever. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "book.h"
#include "factories.h"
#include "say.h"

/* The parent waits; the child is the victim from here on. */
static void go_on_as_child(void)
{
    pid_t parent = getpid(), child = fork();

    if (child < 0)
        fail("no fork");
    if (child > 0) {
        waitpid(child, NULL, 0);
        _exit(0);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    touch_objects();
}

void build_fork_orphans(const char *argument)
{
    mixed_body(0);
    run_threads(6, 4, mixed_body);
    go_on_as_child();
    book_drop_percent(book_of(2), 5, &(struct numbers){7});
}
