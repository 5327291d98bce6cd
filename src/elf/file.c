#include "elf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf/arch/x86_64.h"
#include "elf/cfi.h"

int elf_read_file(const struct elf_image *image, uint64_t offset, void *buffer, size_t length)
{
    if (image->fd < 0) {
        if (offset > image->copy_size || length > image->copy_size - offset)
            return OUTCOME_UNREADABLE;
        memcpy(buffer, (const char *)image->copy + offset, length);
        return 0;
    }
    if (offset > INT64_MAX)
        return OUTCOME_UNREADABLE;
    for (size_t done = 0; done < length;) {
        ssize_t got =
            pread(image->fd, (char *)buffer + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return OUTCOME_UNREADABLE;
        done += (size_t)got;
    }
    return 0;
}

int elf_read_linked(const struct elf_image *image, uint64_t address, void *buffer, size_t length)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];
        uint64_t inside = address + image->bias - segment->memory.start;

        if (inside < segment->file_bytes && length <= segment->file_bytes - inside)
            return elf_read_file(image, segment->file_offset + inside, buffer, length);
    }
    return OUTCOME_UNREADABLE;
}

int elf_program_header(const struct elf_image *image, uint32_t type, Elf64_Phdr *ret)
{
    size_t count;

    if (!image->elf || elf_getphdrnum(image->elf, &count) != 0)
        return OUTCOME_NOT_FOUND;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(image->elf, (int)i, &header) && header.p_type == type) {
            *ret = header;
            return 0;
        }
    }
    return OUTCOME_NOT_FOUND;
}

/* Whether the segment can be mapped by pages, after those before it. */
static bool segment_is_sane(const struct elf_image *image, const GElf_Phdr *header)
{
    uint64_t end = header->p_vaddr + header->p_memsz;

    if (end < header->p_vaddr || end > UINT64_MAX / 2 || header->p_filesz > header->p_memsz)
        return false;
    if ((header->p_vaddr ^ header->p_offset) % PAGE_BYTES != 0 || header->p_offset > INT64_MAX / 2)
        return false;
    return image->segment_count == 0 ||
           header->p_vaddr >= image->segments[image->segment_count - 1].memory.end;
}

static int add_segment(struct elf_image *image, const GElf_Phdr *header, struct why *why)
{
    if (image->segment_count == ELF_SEGMENTS_MAX)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "the file has more than %d loadable segments",
                       ELF_SEGMENTS_MAX);
    if (!segment_is_sane(image, header))
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "the file's program headers contradict themselves");
    image->segments[image->segment_count++] = (struct elf_segment){
        .memory = {header->p_vaddr, header->p_vaddr + header->p_memsz},
        .file_bytes = header->p_filesz,
        .file_offset = header->p_offset,
        .readable = header->p_flags & PF_R,
        .writable = header->p_flags & PF_W,
        .executable = header->p_flags & PF_X,
    };
    return 0;
}

static int read_segments(struct elf_image *image, struct why *why)
{
    size_t count;

    if (elf_getphdrnum(image->elf, &count) != 0)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "the file's program headers cannot be read");
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(image->elf, (int)i, &header))
            return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                           "the file's program headers cannot be read");
        if (header.p_type == PT_TLS && header.p_memsz < UINT32_MAX && header.p_align < UINT32_MAX)
            image->tls_bytes = header.p_memsz + header.p_align;
        int r =
            header.p_type == PT_LOAD && header.p_memsz > 0 ? add_segment(image, &header, why) : 0;
        if (r != 0)
            return r;
    }
    if (image->segment_count == 0)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "the file has no loadable segment");
    return 0;
}

/*
 * libelf sizes its tables by what the header claims. Extended numbering (section 0 holds the
 * counts) may claim billions; no linker needs it for what can be loaded.
 */
static int check_header(struct elf_image *image, struct why *why)
{
    union {
        Elf64_Ehdr header;
        Elf32_Ehdr header_32;
    } u = {0};
    const Elf64_Ehdr *h = &u.header;

    if (elf_read_file(image, 0, &u, sizeof u) != 0 || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "it is not an ELF file");
    image->is_32_bit = h->e_ident[EI_CLASS] == ELFCLASS32;
    if (h->e_ident[EI_DATA] != ELFDATA2LSB ||
        (h->e_machine != ARCH_ELF_MACHINE && !image->is_32_bit))
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN,
                       "it is made for another machine (ELF machine %u)", h->e_machine);
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "it is neither a program nor a shared library");

    bool sections = image->is_32_bit ? u.header_32.e_shoff != 0 : h->e_shoff != 0;
    unsigned section_count = image->is_32_bit ? u.header_32.e_shnum : h->e_shnum;
    unsigned header_count = image->is_32_bit ? u.header_32.e_phnum : h->e_phnum;
    if ((sections && section_count == 0) || header_count == PN_XNUM)
        return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "its header counts are out of range");
    return 0;
}

static int attach(struct elf_image *image, struct why *why)
{
    int r = check_header(image, why);

    if (r == 0) {
        elf_version(EV_CURRENT);
        /* Never by mmap: a file that is cut while it is read would kill us with SIGBUS. */
        image->elf = image->fd < 0 ? elf_memory(image->copy, image->copy_size)
                                   : elf_begin(image->fd, ELF_C_READ, NULL);
        if (!image->elf || elf_kind(image->elf) != ELF_K_ELF)
            r = why_set(why, OUTCOME_LAYOUT_UNKNOWN, "libelf cannot read it: %s", elf_errmsg(-1));
    }
    if (r == 0)
        r = read_segments(image, why);
    if (r != 0)
        elf_image_detach(image);
    return r;
}

int elf_image_attach(struct elf_image *image, int fd, struct why *why)
{
    image->fd = fd;
    return attach(image, why);
}

int elf_image_attach_copy(struct elf_image *image, void *copy, size_t size, struct why *why)
{
    image->fd = -1;
    image->copy = copy;
    image->copy_size = size;
    return attach(image, why);
}

void elf_image_place(struct elf_image *image, uint64_t bias)
{
    image->bias = bias;
    for (size_t i = 0; i < image->segment_count; i++) {
        image->segments[i].memory.start += bias;
        image->segments[i].memory.end += bias;
    }
    image->range.start = align_down(image->segments[0].memory.start, PAGE_BYTES);
    image->range.end = align_up(image->segments[image->segment_count - 1].memory.end, PAGE_BYTES);
}

void elf_image_detach(struct elf_image *image)
{
    cfi_index_free(image->cfi);
    image->cfi = NULL;
    if (image->elf)
        elf_end(image->elf);
    image->elf = NULL;
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
    free(image->copy);
    image->copy = NULL;
    image->segment_count = 0;
}

void elf_image_release(struct elf_image *image)
{
    elf_image_detach(image);
    free(image->path);
    free(image->open_failure);
    image->path = image->open_failure = NULL;
}
