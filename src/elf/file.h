/* How this folder gets at an image's file. Addresses here are link-time ones, as the file has them. */
#pragma once

#include "elf/image.h"

/*
 * Makes `image` speak for the file behind `fd` (or for `copy`), with bias 0. It owns both from then on, also on
 * failure. OUTCOME_LAYOUT_UNKNOWN when this is no ELF file that a process could run here.
 */
int elf_image_attach(struct elf_image *image, int fd, struct why *why) must_check;
int elf_image_attach_copy(struct elf_image *image, void *copy, size_t size, struct why *why) must_check;

/* Moves an attached image to where it is loaded. */
void elf_image_place(struct elf_image *image, uint64_t bias);

/* Gives back all that `image` holds and leaves it without `elf`; path and failure stay. */
void elf_image_detach(struct elf_image *image);
void elf_image_release(struct elf_image *image);

/* All of [offset, offset + length) of the file; 0 or OUTCOME_UNREADABLE. */
int elf_read_file(const struct elf_image *image, uint64_t offset, void *buffer, size_t length) must_check;

/* The file's bytes that are loaded at a link-time address; 0 or OUTCOME_UNREADABLE. */
int elf_read_linked(const struct elf_image *image, uint64_t address, void *buffer, size_t length) must_check;

/* The first program header of this type: 0 or OUTCOME_NOT_FOUND. */
int elf_program_header(const struct elf_image *image, uint32_t type, Elf64_Phdr *ret) must_check;

/* Attaches and places the vDSO, whose file exists in memory only. Positive outcome, or negative errno. */
int elf_open_vdso(struct elf_image *image, struct memory *memory, struct range range, struct why *why) must_check;

/* Opens the file behind `vma`: a descriptor, or negative errno with the reason in `why`. */
int elf_open_mapped(const struct procfs *procfs, pid_t pid, const struct vma *vma, struct why *why) must_check;
