/* Every register that a program can see is filled, some time passes, and every register must be as
 * it was. */
#include <errno.h>
#include <immintrin.h>
#include <string.h>

#include "chaos.h"

enum { VECTORS = 32, VECTOR_BYTES = 64, RED_ZONE = 128, SPINS = 20000 };

struct filled {
    uint64_t general[16]; /* rax rcx rdx rbx rbp rsi rdi r8..r15, flags */
    uint64_t red_zone[RED_ZONE / 8];
};

__attribute__((used)) static struct filled before, after;
static _Alignas(64) unsigned char vectors_before[VECTORS][VECTOR_BYTES],
    vectors_after[VECTORS][VECTOR_BYTES];
static uint64_t masks_before[8], masks_after[8];
static uint64_t x87_before[2] = {0x8000123456789abcULL, 0x4005}, x87_after[2];
static uint32_t mxcsr_before, mxcsr_after;
__attribute__((used)) static uint64_t spins, kept_sp; /* for the assembly below */

/* Direction and carry set: who takes an interrupt of any kind must not forget them. */
__asm__(".text\n"
        ".type hold_general, @function\n"
        "hold_general:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, kept_sp(%rip)\n"
        "lea before(%rip), %rax\n"
        ".set at, 0\n"
        ".rept 16\n" /* the red zone */
        "mov 128+at(%rax), %rcx\n"
        "mov %rcx, -128+at(%rsp)\n"
        ".set at, at + 8\n"
        ".endr\n"
        "mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx; mov 32(%rax), %rbp\n"
        "mov 40(%rax), %rsi; mov 48(%rax), %rdi; mov 56(%rax), %r8; mov 64(%rax), %r9\n"
        "mov 72(%rax), %r10; mov 80(%rax), %r11; mov 88(%rax), %r12; mov 96(%rax), %r13\n"
        "mov 104(%rax), %r14; mov 112(%rax), %r15; mov 0(%rax), %rax\n"
        "std\n"
        "1: decq spins(%rip)\n"
        "jnz 1b\n"
        "mov %rax, after+0(%rip); mov %rcx, after+8(%rip); mov %rdx, after+16(%rip); mov %rbx, "
        "after+24(%rip)\n"
        "mov %rbp, after+32(%rip); mov %rsi, after+40(%rip); mov %rdi, after+48(%rip); mov %r8, "
        "after+56(%rip)\n"
        "mov %r9, after+64(%rip); mov %r10, after+72(%rip); mov %r11, after+80(%rip); mov %r12, "
        "after+88(%rip)\n"
        "mov %r13, after+96(%rip); mov %r14, after+104(%rip); mov %r15, after+112(%rip)\n"
        "lea after(%rip), %rax\n"
        ".set at, 0\n"
        ".rept 16\n"
        "mov -128+at(%rsp), %rcx\n"
        "mov %rcx, 128+at(%rax)\n"
        ".set at, at + 8\n"
        ".endr\n"
        "pushfq; pop %rcx; and $0x400, %rcx; mov %rcx, 120(%rax)\n"
        "cld\n"
        "xor %eax, %eax\n"
        "cmp %rsp, kept_sp(%rip)\n"
        "sete %al\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".size hold_general, . - hold_general\n");

int hold_general(void);

static uint64_t number(void)
{
    static uint64_t state = 88172645463325252ULL;

    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void general_round(void)
{
    for (size_t i = 0; i < 15; i++)
        before.general[i] = number();
    before.general[15] = 0x400; /* the direction flag */
    for (size_t i = 0; i < RED_ZONE / 8; i++)
        before.red_zone[i] = number();
    spins = SPINS;
    check(hold_general());
    check(memcmp(&before, &after, sizeof before) == 0);
}

static void spin(void)
{
    for (volatile int i = 0; i < SPINS / 4; i++)
        ;
}

__attribute__((target("avx512f,avx512bw"))) static void hold_wide(void)
{
    __asm__ volatile(
        "mov %0, %%rax\n"
        ".irp n, "
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "vmovdqu64 \\n*64(%%rax), %%zmm\\n\n"
        ".endr\n"
        "mov %2, %%rax\n"
        ".irp n, 1,2,3,4,5,6,7\n"
        "kmovq \\n*8(%%rax), %%k\\n\n"
        ".endr\n"
        "mov %4, %%ecx\n"
        "1: dec %%ecx\n"
        "jnz 1b\n"
        "mov %1, %%rax\n"
        ".irp n, "
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "vmovdqu64 %%zmm\\n, \\n*64(%%rax)\n"
        ".endr\n"
        "mov %3, %%rax\n"
        ".irp n, 1,2,3,4,5,6,7\n"
        "kmovq %%k\\n, \\n*8(%%rax)\n"
        ".endr\n"
        "vzeroupper\n"
        :
        : "r"(vectors_before), "r"(vectors_after), "r"(masks_before), "r"(masks_after), "i"(SPINS)
        : "rax", "rcx", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
          "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17",
          "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
          "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7");
}

__attribute__((target("avx2"))) static void hold_avx(void)
{
    __asm__ volatile("mov %0, %%rax\n"
                     ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                     "vmovdqu \\n*64(%%rax), %%ymm\\n\n"
                     ".endr\n"
                     "mov %2, %%ecx\n"
                     "1: dec %%ecx\n"
                     "jnz 1b\n"
                     "mov %1, %%rax\n"
                     ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                     "vmovdqu %%ymm\\n, \\n*64(%%rax)\n"
                     ".endr\n"
                     "vzeroupper\n"
                     :
                     : "r"(vectors_before), "r"(vectors_after), "i"(SPINS)
                     : "rax", "rcx", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
}

static void fill_vectors(size_t count, size_t bytes)
{
    memset(vectors_before, 0, sizeof vectors_before);
    memset(vectors_after, 0, sizeof vectors_after);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < bytes; k += 8) {
            uint64_t value = number();

            memcpy(&vectors_before[i][k], &value, 8);
        }
    for (size_t i = 1; i < 8; i++)
        masks_before[i] = number();
}

static void vector_round(void)
{
    if (__builtin_cpu_supports("avx512bw")) {
        fill_vectors(32, 64);
        hold_wide();
        check(memcmp(masks_before, masks_after, sizeof masks_before) == 0);
    } else if (__builtin_cpu_supports("avx2")) {
        fill_vectors(16, 32);
        hold_avx();
    } else {
        sleep_us(100); /* float-registers has what such a machine has */
    }
    check(memcmp(vectors_before, vectors_after, sizeof vectors_before) == 0);
}

/* Rounding and masks, and a number on the old stack. */
static void float_round(void)
{
    uint16_t control = 0x0e7f, control_after;

    mxcsr_before = 0x7f80 | ((uint32_t)number() & 0x8040);
    __asm__ volatile("fninit; fldcw %0; fldt %1" : : "m"(control), "m"(x87_before));
    _mm_setcsr(mxcsr_before);
    spin();
    mxcsr_after = _mm_getcsr();
    __asm__ volatile("fnstcw %0; fstpt %1; fninit" : "=m"(control_after), "=m"(x87_after));
    _mm_setcsr(0x1f80);
    check((mxcsr_before & 0xffc0) == (mxcsr_after & 0xffc0));
    check(control == control_after);
    check(memcmp(x87_before, x87_after, 10) == 0);
}

const struct role register_roles[] = {
    {"general-registers", general_round, NULL},
    {"vector-registers", vector_round, NULL},
    {"float-registers", float_round, NULL},
    {NULL, NULL, NULL},
};
