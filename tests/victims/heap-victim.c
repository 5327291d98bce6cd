/*
 * usage: heap-victim HEAP [ARGUMENT]      (HEAP is one of `factories`)
 *
 * Builds a heap and knows what it holds in it. Says "READY pid [forks]", then takes commands, a
 * line each:
 *
 * - blocks FILE: writes address, requested and usable size of its live blocks; OK count
 * - check: are all bytes what they were? OK, or WRONG address and the end
 * - trim: malloc_trim(0); OK and what it returned
 * - info: mallinfo; OK arena hblks hblkhd fsmblks fordblks keepcost
 * - rss: its exact resident set; OK bytes
 * - steps: of churn and of a filled heap; OK count
 * - go [RATE], stop: keep a filled heap busy, by RATE blocks a second or as fast as can be; OK
 * - probe: note from now on for how long it is kept from running; OK
 * - gap: the longest since the last gap; OK ns
 * - take COUNT SIZE: allocate and fill as many blocks; OK
 * - drop COUNT: free as many of them, the last first; OK
 * - hold: have the kernel hold the first pages of 16 of its blocks, in a pipe; OK
 * - quit
 *
 * No command changes the heap but trim, go, take and drop, and none changes the resident set in
 * other ways: what they touch has been touched before, and they need no stdio.
 */
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "book.h"
#include "factories.h"
#include "fill.h"
#include "say.h"

enum { PAGE = 4096, STACK_BYTES = 256 * 1024 };

static int command_blocks(const char *argument)
{
    long count = books_write(argument);

    if (count < 0)
        fail("%s cannot be written", argument);
    say("OK %ld", count);
    return 0;
}

static unsigned long go_rate;

static int command_go(const char *argument)
{
    go_rate = strtoul(argument, NULL, 10);
    busy_go(go_rate);
    say("OK");
    return 0;
}

static int command_stop(const char *argument)
{
    busy_stop();
    say("OK");
    return 0;
}

static int command_check(const char *argument)
{
    bool was_going = busy_stop();
    const struct block *wrong = books_find_wrong();
    const void *filled = fill_find_wrong(), *inflated = inflated_find_wrong();

    if (wrong)
        fail("WRONG %p, %zu bytes", (void *)wrong->address, wrong->requested);
    if (filled || inflated)
        fail("WRONG %p", filled ? filled : inflated);
    if (was_going)
        busy_go(go_rate);
    say("OK");
    return 0;
}

static int command_probe(const char *argument)
{
    busy_probe();
    say("OK");
    return 0;
}

static int command_gap(const char *argument)
{
    say("OK %lu", probe_longest_ns());
    return 0;
}

static int command_trim(const char *argument)
{
    say("OK %d", malloc_trim(0));
    return 0;
}

/* Nobody else's book. */
enum { TAKEN = BOOKS - 1 };

static int command_take(const char *argument)
{
    char *rest = NULL;
    unsigned long count = strtoul(argument, &rest, 10), size = strtoul(rest, NULL, 10);

    for (unsigned long i = 0; i < count; i++)
        book_take(book_of(TAKEN), 0, size);
    say("OK");
    return 0;
}

static int command_drop(const char *argument)
{
    struct book *book = book_of(TAKEN);
    unsigned long count = strtoul(argument, NULL, 10);

    for (size_t i = book->count; i-- > 0 && count > 0;) {
        count -= book->blocks[i].address != NULL;
        book_drop(book, i);
    }
    say("OK");
    return 0;
}

static int command_info(const char *argument)
{
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
#else
    struct mallinfo info = mallinfo();
#endif

    say("OK %zu %zu %zu %zu %zu %zu", (size_t)info.arena, (size_t)info.hblks, (size_t)info.hblkhd,
        (size_t)info.fsmblks, (size_t)info.fordblks, (size_t)info.keepcost);
    return 0;
}

/* smaps_rollup walks the page tables: exact on every kernel, as statm is only from 6.12 on. */
static int command_rss(const char *argument)
{
    static char text[2048];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *line = length < 0 ? NULL : strstr(text, "\nRss:");

    if (!line)
        fail("smaps_rollup cannot be read");
    close(fd);
    say("OK %lu", strtoul(line + 5, NULL, 10) * 1024);
    return 0;
}

static int command_steps(const char *argument)
{
    say("OK %lu", churn_steps() + busy_steps());
    return 0;
}

static int command_live(const char *argument)
{
    long least, most;

    fill_live(&least, &most);
    say("OK %ld %ld", least, most);
    return 0;
}

enum { HELD = 16 };

static int command_hold(const char *argument)
{
    struct book *book = book_of(0);
    int pipe_ends[2];
    unsigned held = 0;

    if (pipe(pipe_ends))
        fail("no pipe");
    for (size_t i = 0; i < book->count && held < HELD; i++) {
        struct iovec byte = {book->blocks[i].address, 1};

        if (!byte.iov_base || vmsplice(pipe_ends[1], &byte, 1, 0) != 1)
            continue;
        held++;
        i += book->count / HELD / 2;
    }
    say("OK %u", held);
    return 0;
}

static int command_quit(const char *argument)
{
    return 1;
}

static const struct command {
    const char *name;
    int (*run)(const char *argument);
} commands[] = {
    {"blocks", command_blocks}, {"check", command_check}, {"trim", command_trim},
    {"info", command_info},     {"rss", command_rss},     {"steps", command_steps},
    {"go", command_go},         {"stop", command_stop},   {"probe", command_probe},
    {"gap", command_gap},       {"take", command_take},   {"drop", command_drop},
    {"live", command_live},     {"hold", command_hold},   {"quit", command_quit},
};

static int run_command(char *words)
{
    char *argument = strchr(words, ' ');

    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, words) == 0)
            return commands[i].run(argument ? argument : "");
    fail("unknown command %s", words);
}

static char line[PAGE];

/* One line at a time: a test waits for the answer before it goes on. */
static char *read_line(void)
{
    ssize_t length;

    while (idle_step && poll(&(struct pollfd){.fd = STDIN_FILENO, .events = POLLIN}, 1, 0) == 0)
        idle_step();
    length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0)
        return NULL;
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static int touch_object(struct dl_phdr_info *info, size_t size, void *context)
{
    static volatile char seen;

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        for (size_t at = 0; at < segment->p_memsz; at += PAGE)
            seen = *(const volatile char *)(info->dlpi_addr + segment->p_vaddr + at);
    }
    (void)seen;
    return 0;
}

__attribute__((noinline)) static void touch_stack(void)
{
    volatile char stack[STACK_BYTES];

    for (size_t at = 0; at < sizeof stack; at += PAGE)
        stack[at] = 0;
}

void touch_objects(void)
{
    dl_iterate_phdr(touch_object, NULL);
}

/* All that a command will touch, so that the resident set moves only with the heap. */
static void touch_all(void)
{
    int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    touch_stack();
    memset(line, ' ', sizeof line);
    touch_objects();
    dup2(null, STDOUT_FILENO);
    free(malloc(100000)); /* something on top, for the trim to take */
    command_trim("");
    command_blocks("/dev/null");
    command_check("");
    command_info("");
    command_rss("");
    command_steps("");
    dup2(out, STDOUT_FILENO);
    close(out);
    close(null);
}

static void tell_ready(void)
{
    switch (fork_count) {
    case 0:
        say("READY %d", getpid());
        return;
    default:
        say("READY %d %d %d", getpid(), forks[0], forks[1]);
    }
}

static const struct factory *factory_find(const char *name)
{
    const struct factory *factory = factories;

    while (factory->name && strcmp(factory->name, name) != 0)
        factory++;
    return factory->name ? factory : NULL;
}

int main(int argc, char **argv)
{
    const struct factory *factory = argc > 1 ? factory_find(argv[1]) : NULL;
    char *words;

    if (!factory)
        fail("usage: heap-victim HEAP [ARGUMENT]");
    touch_all();
    factory->build(argc > 2 ? argv[2] : NULL);
    tell_ready();
    while ((words = read_line()) != NULL)
        if (run_command(words))
            return 0;
    return 0;
}
