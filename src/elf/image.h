/* ELF images that a process has mapped: where, which segments, which symbols; through elfutils. */
#pragma once

#include <libelf.h>

#include "base/range.h"
#include "mem/memory.h"
#include "procfs/maps.h"

struct elf_segment {
    struct range memory;   /* loaded [p_vaddr, p_vaddr + p_memsz) of one PT_LOAD, unaligned */
    uint64_t file_bytes;   /* p_filesz: what lies beyond it is .bss */
    uint64_t file_offset;  /* p_offset */
    bool readable, writable, executable;
};

struct cfi_index;

enum { ELF_SEGMENTS_MAX = 16 };

struct elf_image {
    char *path;            /* as maps names it; "[vdso]" for the vDSO */
    uint32_t dev_major, dev_minor;
    uint64_t inode;        /* as maps tells them; 0 for the vDSO */
    struct range range;    /* lowest to highest mapped address, page-aligned */
    uint64_t bias;         /* load address minus link-time address */
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    size_t segment_count;
    uint64_t tls_bytes;    /* of its thread-local variables (PT_TLS) and their alignment, at most */
    bool is_32_bit;        /* symbols, relocations and call frames are looked up in 64-bit images only */
    Elf *elf;              /* NULL when the file could not be opened: then only `path` and `range` are known */
    int fd;                /* -1: the bytes are in `copy` */
    void *copy;            /* the vDSO's bytes */
    size_t copy_size;
    struct cfi_index *cfi; /* made at first use by unwinding */
    char *open_failure;    /* why elf is NULL */
};

struct elf_images {
    struct elf_image *items; /* by ascending range.start */
    size_t count, capacity;
};

/*
 * Opens every ELF image in `maps`, through /proc/PID/map_files where permitted (right even for deleted files), else
 * /proc/PID/root, else /proc/PID/exe; the last two only when it is still the same file. An image is a file with an
 * executable segment; one that is mapped twice (dlmopen) is two images. An image that cannot be opened stays in the
 * list without `elf`. The vDSO is copied from `memory`, which may be NULL (then the vDSO cannot be opened).
 * Release with elf_images_close. Negative errno only when memory is short or the process has gone.
 */
int elf_images_open(const struct procfs *procfs, pid_t pid, const struct maps *maps, struct memory *memory,
                    struct elf_images *ret, struct why *why) must_check;
void elf_images_close(struct elf_images *images);

/* The image that has `address` in one of its mappings, or NULL. */
struct elf_image *elf_images_find(struct elf_images *images, remote_addr address);

/*
 * Remote address of a defined dynamic symbol: of its default version, else of any. Thread-local symbols have none;
 * of an IFUNC it is the resolver's. 0, or OUTCOME_NOT_FOUND. `ret_size` may be NULL. Needs no section headers.
 */
int elf_dynamic_symbol(struct elf_image *image, const char *name, remote_addr *ret_address, uint64_t *ret_size)
    must_check;

/*
 * Calls `each` with the GOT slot (remote address) of every R_X86_64_TPOFF64 relocation without symbol:
 * the image's own initial-exec thread-local variables, which survive stripping. Stops when `each` returns non-zero
 * and returns that. OUTCOME_NOT_FOUND when the image has no readable dynamic section.
 */
int elf_each_tls_slot(struct elf_image *image, int (*each)(void *context, remote_addr slot), void *context) must_check;

/* Build-id in lower-case hex into `hex` (41 bytes or more). 0, or OUTCOME_NOT_FOUND (also where it does not fit). */
int elf_build_id(struct elf_image *image, char *hex, size_t size) must_check;

/*
 * Finds `needle` in the read-only segments of the image's file; copies up to `size` - 1 following printable
 * bytes (the needle included) to `text`. 0, or OUTCOME_NOT_FOUND. For version strings that libraries carry.
 */
int elf_find_text(struct elf_image *image, const char *needle, char *text, size_t size) must_check;

/*
 * The function (as .eh_frame delimits it: the cold part of a split function is one of its own) that holds `address`.
 * 0, or OUTCOME_NOT_FOUND.
 */
int elf_function_at(struct elf_image *image, remote_addr address, struct range *ret_function) must_check;

/*
 * Remote addresses of instructions in executable segments whose 32-bit RIP-relative operand points into `data`
 * (false hits are possible: bytes are not disassembled). Calls `each` with the address of the displacement, once
 * for each. Returns what `each` returned when not zero; OUTCOME_NOT_FOUND when the file cannot be read.
 */
int elf_each_reference(struct elf_image *image, struct range data, int (*each)(void *context, remote_addr where),
                       void *context) must_check;
