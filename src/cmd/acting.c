#include "cmd/acting.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

static atomic_bool interrupted;

static void note_interrupt(int number)
{
    atomic_store(&interrupted, true);
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = note_interrupt};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* -1000 is never (oom_score_adj in proc(5)). */
static void stay_out_of_memory_shortage(void)
{
    static const char never[] = "-1000";
    auto_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t written = fd < 0 ? fd : write(fd, never, strlen(never));

    (void)written; /* where it is not permitted we are what we were */
}

const atomic_bool *begin_acting(void)
{
    catch_interrupts();
    stay_out_of_memory_shortage();
    return &interrupted;
}
