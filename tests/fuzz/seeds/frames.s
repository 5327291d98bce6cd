# Call frame information of every kind that compilers, libc and hand-written code use, for tests/fuzz/unwind.c.
    .text
usual:                              # push %rbp; mov %rsp,%rbp; ...; leave; ret
    .cfi_startproc
    .skip 1
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    .skip 3
    .cfi_def_cfa_register %rbp
    .cfi_offset %rbx, -24
    .cfi_remember_state
    .skip 50
    .cfi_restore %rbx
    .cfi_def_cfa %rsp, 8
    .skip 3
    .cfi_restore_state
    .skip 300
    .cfi_endproc

started:                            # where a thread begins: its caller is undefined
    .cfi_startproc
    .cfi_undefined %rip
    .skip 64
    .cfi_endproc

signalled:                          # __restore_rt: all registers by expressions on the stack
    .cfi_startproc
    .cfi_signal_frame
    .cfi_escape 0x0f, 4, 0x77, 0xa0, 0x01, 0x06                 # CFA: deref(rsp + 160)
    .cfi_escape 0x10, 3, 3, 0x77, 0x80, 0x01                    # rbx at rsp + 128
    .cfi_escape 0x10, 6, 2, 0x77, 0x78                          # rbp at rsp - 8
    .cfi_escape 0x10, 16, 3, 0x77, 0xa8, 0x01                   # rip at rsp + 168
    .skip 64
    .cfi_endproc

stub:                               # what linkers write for a PLT: rsp + 8 + ((rip & 15) >= 11) * 8
    .cfi_startproc
    .cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22
    .skip 64
    .cfi_endproc

realigned:                          # a stack that was aligned: CFA is behind a saved pointer
    .cfi_startproc
    .cfi_def_cfa %r10, 0
    .skip 8
    .cfi_escape 0x0f, 3, 0x76, 0x78, 0x06                       # CFA: deref(rbp - 8)
    .cfi_escape 0x10, 6, 2, 0x76, 0
    .cfi_same_value %r12
    .cfi_register %r13, %rcx
    .cfi_val_offset %r14, -32
    .cfi_escape 0x16, 15, 4, 0x9c, 0x31, 0x1c, 0x96             # r15 is CFA - 1, by DW_OP_call_frame_cfa
    .skip 56
    .cfi_endproc

odd:                                # operations that nobody emits, and that are understood
    .cfi_startproc
    .cfi_escape 0x0f, 37, 0x77, 0, 0x08, 7, 0x09, 0xff, 0x0a, 1, 0, 0x0b, 0xfe, 0xff, 0x16, 0x17, 0x12, 0x14
    .cfi_escape 0x13, 0x13, 0x1f, 0x20, 0x22, 0x23, 5, 0x30, 0x28, 1, 0, 0x96, 0x2f, 0, 0, 0x15, 0, 0x94, 8, 0x21, 0x27
    .cfi_escape 0x2e, 8                                         # DW_CFA_GNU_args_size
    .cfi_escape 0x2f, 3, 2                                      # DW_CFA_GNU_negative_offset_extended
    .skip 64
    .cfi_endproc
