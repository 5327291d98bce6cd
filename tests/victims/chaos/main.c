#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct shared *shared;

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(shared->failure, sizeof shared->failure, format, args);
    va_end(args);
    _exit(1);
}

void sleep_us(long us)
{
    struct timespec wait = {.tv_nsec = us * 1000};

    nanosleep(&wait, NULL);
}

int start_helper(void (*body)(void))
{
    pid_t parent = getpid(), pid = fork();

    check(pid >= 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (;;)
        body();
}

static const struct role *find(const char *name)
{
    const struct role *const lists[] = {register_roles, call_roles, signal_roles, thread_roles};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const struct role *role = lists[i]; role->name; role++)
            if (strcmp(role->name, name) == 0)
                return role;
    return NULL;
}

/* All that nobody but this process may change. */
static unsigned char *book;
enum { BOOK_BYTES = 256 * 1024, FREE_BYTES = 1024 * 1024 };

static void fill_book(void)
{
    book = malloc(BOOK_BYTES);
    check(book);
    for (size_t i = 0; i < BOOK_BYTES; i++)
        book[i] = (unsigned char)(i * 7 + (i >> 8));
}

static void check_book(void)
{
    for (size_t i = 0; i < BOOK_BYTES; i++)
        check(book[i] == (unsigned char)(i * 7 + (i >> 8)));
}

/* Free memory, so that there is some to be given back. */
static void leave_free_memory(void)
{
    void *block = malloc(FREE_BYTES);

    check(block);
    memset(block, 0x55, FREE_BYTES);
    free(block);
}

int main(int argc, char **argv)
{
    const struct role *role = argc == 3 ? find(argv[1]) : NULL;
    int fd = role ? open(argv[2], O_RDWR) : -1;

    if (fd < 0)
        return 64;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mallopt(M_MMAP_THRESHOLD, 1 << 24);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    fill_book();
    if (role->begin)
        role->begin();
    shared->ready = 1;
    while (!shared->leave) {
        role->round();
        if (shared->progress++ % 64 == 0) {
            check_book();
            leave_free_memory();
        }
    }
    check_book();
    return 0;
}
