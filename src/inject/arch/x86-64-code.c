#include <string.h>

#include "inject/arch.h"

/* syscall; ret. In libc's getpid and its kin, and in the vDSO. */
static const uint8_t call[] = {0x0f, 0x05, 0xc3};
/* mov $15, %rax; syscall: what libcs (glibc's __restore_rt, musl's, Go's) give to sigaction as
 * restorer. */
static const uint8_t sigreturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
static const uint8_t short_sigreturn[] = {0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};

enum { SYSCALL_BYTES = 2 };

/* A block that begins before or after what is looked for finds it all the same; bytes need not be
 * where the compiler began an instruction. */
static const uint8_t *find(const uint8_t *bytes, size_t length, const uint8_t *what, size_t size)
{
    return memmem(bytes, length, what, size);
}

static void take_sigreturn(struct arch_code *code, remote_addr address, const uint8_t *bytes,
                           size_t length)
{
    size_t size = sizeof sigreturn;
    const uint8_t *at = find(bytes, length, sigreturn, size);

    if (!at) {
        size = sizeof short_sigreturn;
        at = find(bytes, length, short_sigreturn, size);
    }
    if (!at)
        return;
    code->sigreturn = address + (size_t)(at - bytes);
    code->after_sigreturn = code->sigreturn + size;
}

bool arch_find_code(struct arch_code *code, remote_addr address, const uint8_t *bytes,
                    size_t length)
{
    if (!code->call) {
        const uint8_t *at = find(bytes, length, call, sizeof call);

        if (at) {
            code->call = address + (size_t)(at - bytes);
            code->after_call = code->call + SYSCALL_BYTES;
        }
    }
    if (!code->sigreturn)
        take_sigreturn(code, address, bytes, length);
    return code->call && code->sigreturn;
}
