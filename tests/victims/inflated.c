/*
 * Huge pages of which little was written, in one state or another, and a record of every byte of
 * them: "still", "busy" (written to all the time, at pages of all kinds), "dense" (too little of
 * them is zeros), and those of which nothing may go: "locked", "watched" (userfaultfd), "pinned"
 * (io_uring buffers), "shared" (a clone has the same memory), "forked".
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "book.h"
#include "factories.h"
#include "say.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11; older headers */
#endif

enum { PAGE = 4096, HUGE = 2 * 1024 * 1024, HUGE_PAGES = 16, STACK_BYTES = 64 * 1024 };

static unsigned char *region;
static unsigned char *record; /* what each byte of it must be; in small pages */
static const size_t length = (size_t)HUGE_PAGES * HUGE;
static struct numbers numbers;

static unsigned char *map(size_t bytes, int advice)
{
    unsigned char *start =
        mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (start == MAP_FAILED)
        fail("%zu bytes could not be mapped", bytes);
    start += (HUGE - (uintptr_t)start % HUGE) % HUGE;
    madvise(start, bytes, advice);
    return start;
}

static void write_byte(size_t at, unsigned char value)
{
    region[at] = value;
    record[at] = value;
}

/* Of each huge page the page in the middle, and one more somewhere; of a dense one, all but each
 * fifth. */
static void write_some(bool dense)
{
    for (size_t page = 0; page < length; page += PAGE) {
        size_t index = page % HUGE / PAGE;

        if (dense ? index % 5 : index == 256 || index == page / HUGE)
            for (size_t i = 0; i < PAGE; i += 64)
                write_byte(page + i, (unsigned char)(1 + page / PAGE + i));
    }
}

/* One byte anywhere: it is what it was, and becomes another, zero as often as not. */
static void step(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        size_t at = number_below(&numbers, length);
        unsigned char value = (unsigned char)number_below(&numbers, 256);

        if (region[at] != record[at])
            fail("WRONG %p", (void *)(region + at));
        if (number_below(&numbers, 64) == 0)
            write_byte(at, value & 1 ? value : 0);
    }
}

const void *inflated_find_wrong(void)
{
    for (size_t at = 0; region && at < length; at++)
        if (region[at] != record[at])
            return region + at;
    return NULL;
}

static void watch(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register all = {.range = {(uintptr_t)region, length},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &all))
        fail("no userfaultfd");
}

static void pin(void)
{
    struct io_uring_params parameters = {0};
    struct iovec buffer = {region, length};
    int fd = (int)syscall(SYS_io_uring_setup, 4, &parameters);

    if (fd < 0 || syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &buffer, 1) < 0)
        fail("no io_uring");
}

static int wait_for_end(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == (pid_t)(intptr_t)parent)
        pause();
    return 0;
}

/* What a fork shares, and what the memory itself is shared with, the READY line tells. */
static void share(int flags)
{
    static unsigned char stack[STACK_BYTES] __attribute__((aligned(16)));

    fork_count = MOST_FORKS;
    for (int i = 0; i < MOST_FORKS; i++) {
        unsigned char *top = stack + (size_t)(i + 1) * STACK_BYTES / MOST_FORKS;

        forks[i] = clone(wait_for_end, top, flags | SIGCHLD, (void *)(intptr_t)getpid());
        if (forks[i] < 0)
            fail("no clone");
    }
}

static void enter(const char *state)
{
    if (strcmp(state, "busy") == 0)
        idle_step = step;
    else if (strcmp(state, "locked") == 0 && mlock(region, length))
        fail("no mlock");
    else if (strcmp(state, "watched") == 0)
        watch();
    else if (strcmp(state, "pinned") == 0)
        pin();
    else if (strcmp(state, "shared") == 0)
        share(CLONE_VM);
    else if (strcmp(state, "forked") == 0)
        share(0);
}

void build_inflated(const char *argument)
{
    const char *state = argument ? argument : "still";

    numbers = numbers_for(0);
    record = map(length, MADV_NOHUGEPAGE);
    memset(record, 0, length);
    region = map(length, MADV_HUGEPAGE);
    write_some(strcmp(state, "dense") == 0);
    enter(state);
    say("REGION %p %zu", (void *)region, length);
}
