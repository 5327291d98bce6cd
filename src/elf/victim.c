/*
 * A program to be looked at: it gets into a known situation and stays there. On standard output it
 * names, in hex and in one line, the functions that must be on its stack; then it goes there.
 */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define noinline __attribute__((noinline, noclone, noipa))
#ifdef __clang__
#undef noinline
#define noinline __attribute__((noinline, optnone))
#endif

static volatile unsigned sink;
static void (*volatile action)(void);

static void announce(const void *first, ...)
{
    va_list rest;
    char line[400];
    size_t used = 0;

    va_start(rest, first);
    for (const void *at = first; at; at = va_arg(rest, const void *))
        used +=
            (size_t)snprintf(line + used, sizeof line - used, "%lx ", (unsigned long)(uintptr_t)at);
    va_end(rest);
    line[used] = '\n';
    if (write(STDOUT_FILENO, line, used + 1) < 0)
        _exit(1);
}

/* Each does something behind its call, so that none of them is a tail call. */
static noinline void inner(void)
{
    action();
    sink++;
}

static noinline void middle(unsigned depth)
{
    volatile char room[200];

    room[depth % 100] = (char)depth;
    inner();
    sink += (unsigned char)room[depth % 100];
}

static noinline void outer(unsigned depth)
{
    /* moves the stack pointer by an amount that only rbp remembers */
    volatile char *room = __builtin_alloca(depth + 32);

    room[depth / 2] = room[depth] = (char)depth;
    middle((unsigned char)room[depth / 2]);
    sink += (unsigned char)room[depth];
}

static void go(void (*what)(void))
{
    action = what;
    outer(17 + sink);
}

static noinline void block_in_read(void)
{
    char byte;

    sink += (unsigned)read(STDIN_FILENO, &byte, 1);
}

static noinline void block_in_nanosleep(void)
{
    struct timespec wait = {.tv_sec = 100000};

    nanosleep(&wait, NULL);
    sink++;
}

static noinline void block_in_poll(void)
{
    struct pollfd nothing = {.fd = -1};

    poll(&nothing, 1, -1);
    sink++;
}

static noinline void spin(void)
{
    for (;;)
        sink++;
}

/* A function that never gets beyond its first byte: what lies before that byte is none of its own.
 */
void stuck_at_entry(void);
__asm__(".text\n"
        "\t.p2align 6\n"
        "\t.skip 64, 0x90\n"
        "stuck_at_entry:\n"
        "\t.cfi_startproc\n"
        "\tjmp stuck_at_entry\n"
        "\t.cfi_endproc\n");

static noinline void on_signal(int number)
{
    block_in_read();
    sink += (unsigned)number;
}

static void spin_until_signal(void (*how)(void), int flags)
{
    static char alternate[1 << 16];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = flags};

    sigaltstack(&stack, NULL);
    sigaction(SIGALRM, &act, NULL);
    ualarm(20000, 0);
    go(how);
}

static noinline void *thread_main(void *unused)
{
    (void)unused;
    go(block_in_read);
    sink++;
    return NULL;
}

static void run_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, thread_main, NULL);
    pthread_join(thread, NULL);
}

static noinline int compare(const void *a, const void *b)
{
    block_in_read();
    return *(const int *)a - *(const int *)b;
}

static noinline void sort(void)
{
    int numbers[4] = {3, 1, 2, 4};

    qsort(numbers, 4, sizeof numbers[0], compare);
    sink += (unsigned)numbers[0];
}

static noinline void read_clocks(void)
{
    struct timespec now;

    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        sink += (unsigned)now.tv_nsec;
    }
}

/* jmp to itself, in memory that no file describes. */
static noinline void run_made_code(void)
{
    unsigned char *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*made)(void) = (void (*)(void))(uintptr_t)code;

    code[0] = 0xeb;
    code[1] = 0xfe;
    made();
    sink++;
}

static noinline int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static noinline void work_once(unsigned seed)
{
    int numbers[64];
    char text[256];
    void *blocks[16];

    for (unsigned i = 0; i < 64; i++)
        numbers[i] = (int)((seed + i) * 2654435761U >> 8);
    qsort(numbers, 64, sizeof numbers[0], by_value);
    for (unsigned i = 0; i < 16; i++)
        blocks[i] = calloc(1, 16 + ((unsigned)numbers[i] & 0x3fff));
    snprintf(text, sizeof text, "%d %s %f", numbers[0], "text", (double)numbers[1]);
    sink +=
        (unsigned)strlen(text) + (unsigned)strtol(text, NULL, 10) + (strstr(text, "xyz") != NULL);
    for (unsigned i = 0; i < 16; i++)
        free(blocks[i]);
}

static noinline void work(void)
{
    for (unsigned seed = 0;; seed++)
        work_once(seed);
}

static noinline void on_step_signal(int number)
{
    sink += (unsigned)getppid() + (unsigned)number;
}

/* Few instructions, much variety: each library function is called once, and bound by that call. */
static noinline void walk_once(const char *argument)
{
    void *block = calloc(1, 100);

    sink += (unsigned)strtol(argument, NULL, 10);
    free(block);
}

/* Goes through lazily bound calls, a signal and its return, once; for a test that follows every
 * instruction. */
static noinline void walk(void)
{
    char byte;

    if (read(STDIN_FILENO, &byte, 1) != 1)
        _exit(1);
    signal(SIGUSR1, on_step_signal);
    raise(SIGUSR1);
    walk_once("1234");
    _exit(0);
}

#ifndef STATIC_VICTIM
static int dlmopen_twice(void)
{
    void *one = dlmopen(LM_ID_BASE, "libm.so.6", RTLD_NOW),
         *two = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);

    if (!one || !two)
        return 1;
    announce(dlsym(one, "cbrt"), dlsym(two, "cbrt"), NULL);
    block_in_read();
    return 0;
}
#endif

/* Every form in which an instruction can name a variable: with no immediate behind the address, and
 * with 1, 2, 4 bytes. */
static unsigned named_variable[4];
static noinline unsigned name_variable(void)
{
    unsigned value;

    __asm__ volatile("movl %1, %0\n\tcmpb $7, %1\n\tmovw $1234, %1\n\tmovl $123456, %1"
                     : "=r"(value), "+m"(named_variable[1])
                     :
                     : "cc");
    return value;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";

    if (strcmp(how, "read") == 0)
        announce(block_in_read, inner, middle, outer, main, NULL), go(block_in_read);
    else if (strcmp(how, "nanosleep") == 0)
        announce(block_in_nanosleep, inner, middle, outer, main, NULL), go(block_in_nanosleep);
    else if (strcmp(how, "poll") == 0)
        announce(block_in_poll, inner, middle, outer, main, NULL), go(block_in_poll);
    else if (strcmp(how, "signal") == 0)
        announce(block_in_read, on_signal, spin, inner, outer, main, NULL),
            spin_until_signal(spin, 0);
    else if (strcmp(how, "altstack") == 0)
        announce(block_in_read, on_signal, spin, inner, outer, main, NULL),
            spin_until_signal(spin, SA_ONSTACK);
    else if (strcmp(how, "entry") == 0)
        announce(block_in_read, on_signal, stuck_at_entry, inner, outer, main, NULL),
            spin_until_signal(stuck_at_entry, 0);
    else if (strcmp(how, "thread") == 0)
        announce(block_in_read, inner, middle, outer, thread_main, NULL), run_thread();
    else if (strcmp(how, "qsort") == 0)
        announce(block_in_read, compare, sort, inner, middle, outer, main, NULL), go(sort);
    else if (strcmp(how, "clocks") == 0)
        announce(read_clocks, inner, middle, outer, main, NULL), go(read_clocks);
    else if (strcmp(how, "made-code") == 0)
        announce(run_made_code, main, NULL), go(run_made_code);
    else if (strcmp(how, "work") == 0)
        announce(work, inner, middle, outer, main, NULL), go(work);
    else if (strcmp(how, "walk") == 0)
        announce(walk, inner, middle, outer, main, NULL), go(walk);
#ifndef STATIC_VICTIM
    else if (strcmp(how, "dlmopen") == 0)
        return dlmopen_twice();
#endif
    else if (strcmp(how, "variable") == 0)
        announce(named_variable, name_variable, NULL), sink += name_variable(), block_in_read();
    return 0;
}
