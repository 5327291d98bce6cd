/*
 * Strict unwinding by .eh_frame. Every frame must be covered by call frame information; there is no
 * frame-pointer guessing and no stack scanning, because the result is used as a proof. (One exception: the single
 * jump of a PLT stub, recognised by its bytes in the linker's own section, where the linker describes none.)
 *
 * Known holes, all of them short and gone at the next try: glibc's clone3 around its system call, .init and .fini.
 */
#pragma once

#include "elf/image.h"
#include "mem/memory.h"

/* x86-64 DWARF numbering: 0 rax 1 rdx 2 rcx 3 rbx 4 rsi 5 rdi 6 rbp 7 rsp 8..15 r8..r15 16 return address. */
struct unwind_registers {
    uint64_t value[17];
    uint32_t known; /* bit i: value[i] is known */
};

enum unwind_end {
    UNWIND_COMPLETE,   /* reached the thread's start: a frame whose caller is marked undefined */
    UNWIND_INCOMPLETE, /* some frame has no call frame information, or its memory could not be read */
    UNWIND_STOPPED,    /* `each` returned non-zero */
};

/*
 * Calls `each` with every frame's program counter, innermost first (for callers: the return address minus one,
 * except behind a signal frame). At most 4096 frames. `why` says what was missing when it is incomplete.
 *
 * A coroutine (makecontext) ends at its own start, which is marked like a thread's: UNWIND_COMPLETE then speaks
 * of the stack that runs, not of contexts that are switched out.
 */
enum unwind_end unwind(struct elf_images *images, struct memory *memory, struct unwind_registers start,
                       int (*each)(void *context, remote_addr pc), void *context, struct why *why) must_check;
