/*
 * Call frame information: which rules recover a caller's registers at an address (DWARF 5, 6.4; LSB, .eh_frame).
 *
 * Read here and not through libdw, because the result is used as a proof: libdw's x86-64 defaults (x86_64_cfi.c,
 * seen in 0.188) list rax where rbx is meant, so that it cannot tell a preserved rbx from a lost one; and its
 * tables grow with the register numbers that a file claims, up to 2 GB. The tests compare the two, row by row.
 */
#pragma once

#include "elf/arch/x86_64.h"
#include "elf/bytes.h"
#include "elf/image.h"

/* One function's entry (an FDE with its CIE). Addresses are link-time ones. */
struct cfi_entry {
    uint64_t start, end;
    uint64_t code_align;
    int64_t data_align;
    uint8_t pointer_encoding;
    bool sized;          /* the entry has augmentation data with a size ('z') */
    bool signal_frame;   /* its caller was interrupted: the return address is exact ('S') */
    struct bytes initial, program; /* CFA instructions: the CIE's, the FDE's; they point into the next two */
    uint8_t *cie_bytes, *fde_bytes;
};

/*
 * The entry that covers `address`. Release with cfi_entry_release. 0; OUTCOME_NOT_FOUND when nothing covers it;
 * OUTCOME_LAYOUT_UNKNOWN when it cannot be understood; -ENOMEM.
 */
int cfi_find(struct elf_image *image, uint64_t address, struct cfi_entry *ret, struct why *why) must_check;
void cfi_entry_release(struct cfi_entry *entry);

/* Reads the entry whose bytes are loaded at `where`. OUTCOME_NOT_FOUND for a terminator or a CIE. */
int cfi_read_entry(const struct elf_image *image, uint64_t where, struct cfi_entry *ret, struct why *why) must_check;

/* As elf_read_linked, but out of the section where that was loaded. */
int cfi_read(const struct elf_image *image, uint64_t address, void *buffer, size_t length) must_check;

void cfi_index_free(struct cfi_index *index);

enum cfi_rule_kind {
    CFI_UNSPECIFIED = 0,
    CFI_UNDEFINED,
    CFI_SAME_VALUE,
    CFI_OFFSET,         /* saved at CFA + offset */
    CFI_VAL_OFFSET,     /* is CFA + offset */
    CFI_REGISTER,       /* is in register `number` */
    CFI_EXPRESSION,     /* saved where the expression says */
    CFI_VAL_EXPRESSION, /* is what the expression says */
};

struct cfi_rule {
    enum cfi_rule_kind kind;
    uint64_t number;
    int64_t offset;
    struct bytes expression;
};

/* The rules at one address. For the CFA, CFI_REGISTER means register + offset, CFI_VAL_EXPRESSION an expression. */
struct cfi_row {
    struct cfi_rule cfa;
    struct cfi_rule registers[ARCH_REGISTERS];
};

/* 0, or OUTCOME_LAYOUT_UNKNOWN. The row's expressions point into the entry. */
int cfi_row_at(const struct cfi_entry *entry, uint64_t address, struct cfi_row *ret, struct why *why) must_check;
