/* Main arenas that are not one piece grown by brk. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "book.h"
#include "factories.h"
#include "say.h"

enum { KIB = 1024, PAGE = 4096, ROUNDS = 12 };

/* Small and middling blocks, of which some go: enough for brk to be asked a few times. */
static void take_some(struct numbers *numbers)
{
    struct book *book = book_of(0);

    for (unsigned i = 0; i < 1500; i++)
        book_take(book, i % 40 ? 0 : (size_t)32 << (i / 40 % 8),
                  number_by_doublings(numbers, 16, 16 * KIB));
    book_drop_percent(book, 25, numbers);
}

/* Somebody else asks for memory in between, and uses it for what looks like chunks until its end is
 * near. */
static void take_by_sbrk(size_t bytes)
{
    uint64_t *words = sbrk((intptr_t)bytes);

    if (words == (void *)-1)
        fail("sbrk gave nothing");
    for (size_t i = 0; i + 16 < bytes / sizeof *words; i += 2) {
        words[i] = 0;
        words[i + 1] = 0x31;
    }
}

/* Until malloc has asked brk for more. */
static void take_until_grown(void)
{
    void *end = sbrk(0);

    while (sbrk(0) == end)
        book_take(book_of(0), 0, 100 * KIB);
}

void build_foreign_sbrk(const char *argument)
{
    static const size_t foreign[] = {16, 5008, 40, PAGE, 100 * KIB, 8};
    struct numbers numbers = numbers_for(0);

    for (unsigned round = 0; round < ROUNDS; round++) {
        take_some(&numbers);
        take_by_sbrk(foreign[round % 6]);
        take_until_grown();
    }
    take_some(&numbers);
}

/* To this system call it answers what the kernel does when it refuses: a break below the one asked
 * for. */
static void forbid_brk(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        fail("a seccomp filter could not be set");
}

static void piece_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 1000; i++)
        book_take(book, 0, number_by_doublings(&numbers, 16, 32 * KIB));
    for (unsigned i = 0; i < 6; i++)
        book_take(book, 0, 130 * KIB + number_below(&numbers, 100 * KIB));
    book_drop_percent(book, 30, &numbers);
}

/* Pieces from mmap lie among thread arenas, stacks and chunks with mappings of their own. */
void build_brk_blocked(const char *argument)
{
    struct numbers numbers = numbers_for(0);

    take_some(&numbers);
    forbid_brk();
    for (unsigned round = 0; round < ROUNDS / 2; round++) {
        take_some(&numbers);
        piece_body(round + 5);
    }
    run_threads(4, 4, piece_body);
    take_some(&numbers);
}

/* What makes brk fail is a mapping in its way; later it goes. */
static void block_brk(bool blocked)
{
    static void *obstacle;

    if (!blocked && obstacle)
        munmap(obstacle, PAGE);
    obstacle = NULL;
    if (!blocked)
        return;
    obstacle = mmap((void *)(((uintptr_t)sbrk(0) + PAGE - 1) & -(uintptr_t)PAGE), PAGE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (obstacle == MAP_FAILED)
        fail("brk could not be blocked");
}

void build_brk_at_times(const char *argument)
{
    struct numbers numbers = numbers_for(0);

    for (unsigned round = 0; round < ROUNDS; round++) {
        take_some(&numbers);
        if (round % 4 == 1) {
            take_by_sbrk(round == 1 ? 5008 : 2 * PAGE);
            take_until_grown();
        }
        block_brk(round % 3 == 2);
        if (round % 3 == 2)
            take_some(&numbers);
        block_brk(false);
    }
    take_some(&numbers);
}
