/* Which images a process has mapped: by its mappings, checked against each file's program headers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "elf/file.h"

/* An image's text lies within a few mappings of its start. */
enum { LOOK_AHEAD = 8 };

struct opening {
    const struct procfs *procfs;
    pid_t pid;
    const struct maps *maps;
    struct memory *memory;
    struct elf_images images;
};

static bool same_file(const struct vma *a, const struct vma *b)
{
    return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

static bool image_is_of(const struct elf_image *image, const struct vma *vma)
{
    return image->inode != 0 && image->inode == vma->inode && image->dev_major == vma->dev_major &&
           image->dev_minor == vma->dev_minor;
}

static struct range segment_pages(const struct elf_segment *segment)
{
    return (struct range){align_down(segment->memory.start, PAGE_BYTES),
                          align_up(segment->memory.end, PAGE_BYTES)};
}

/* Whether the image's program headers ask for what this mapping maps, where it maps it. */
static bool image_describes(const struct elf_image *image, const struct vma *vma)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];
        struct range pages = segment_pages(segment);

        if (range_has(pages, vma->range.start) &&
            vma->range.start - pages.start ==
                vma->offset - align_down(segment->file_offset, PAGE_BYTES))
            return true;
    }
    return false;
}

/* Already taken by an image before it? An unopened one takes all that follows of its file. */
static bool is_claimed(struct opening *o, const struct vma *vma)
{
    for (size_t i = o->images.count; i-- > 0;) {
        struct elf_image *image = &o->images.items[i];

        if (!image_is_of(image, vma))
            continue;
        if (image->elf && image_describes(image, vma))
            return true;
        if (!image->elf && i + 1 == o->images.count) {
            image->range.end = vma->range.end;
            return true;
        }
    }
    return false;
}

/* Whether code of this file, or code without a file (text moved to huge pages), is mapped here or
 * soon after. */
static bool code_is_near(const struct maps *maps, size_t i, bool or_anonymous)
{
    const struct vma *first = &maps->items[i];

    for (size_t j = i; j < maps->count && j < i + LOOK_AHEAD; j++) {
        const struct vma *vma = &maps->items[j];
        if (vma->executable && (same_file(first, vma) || (or_anonymous && vma_is_anonymous(vma))))
            return true;
    }
    return false;
}

/* One executable segment is where the image says, and executable. */
static bool is_loaded(const struct elf_image *image, const struct maps *maps,
                      const struct vma *first)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct vma *vma = maps_find(maps, image->segments[i].memory.start);
        if (image->segments[i].executable && vma && vma->executable &&
            (same_file(vma, first) || vma_is_anonymous(vma)))
            return true;
    }
    return false;
}

/* The mapping must be that of the first segment; it then tells the bias. */
static int place(struct opening *o, struct elf_image *image, const struct vma *first,
                 struct why *why)
{
    const struct elf_segment *segment = &image->segments[0];

    if (align_down(segment->file_offset, PAGE_BYTES) == first->offset) {
        elf_image_place(image, first->range.start - align_down(segment->memory.start, PAGE_BYTES));
        if (is_loaded(image, o->maps, first))
            return 0;
    }
    elf_image_detach(image);
    return why_set(why, OUTCOME_LAYOUT_UNKNOWN, "it is not mapped as its program headers say");
}

static int open_file(struct opening *o, struct elf_image *image, const struct vma *vma,
                     struct why *why)
{
    int fd = elf_open_mapped(o->procfs, o->pid, vma, why);

    if (fd < 0)
        return fd;
    int r = elf_image_attach(image, fd, why);
    return r != 0 ? r : place(o, image, vma, why);
}

/* Puts the image, opened or not, into the list. */
static int add(struct opening *o, struct elf_image *image, const struct vma *vma,
               const struct why *failure)
{
    image->path = strdup(vma->name);
    if (!image->elf) {
        image->range = vma->range;
        image->open_failure = strdup(failure->text);
    }
    if (!image->path || (!image->elf && !image->open_failure))
        return -ENOMEM;
    return vector_push(&o->images, *image);
}

static bool process_is_gone(const struct opening *o)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof path, "proc/%d", (int)o->pid);
    return fstatat(o->procfs->root_fd, path, &st, 0) != 0 && errno == ENOENT;
}

static int consider(struct opening *o, size_t i, struct why *why)
{
    const struct vma *vma = &o->maps->items[i];
    bool is_vdso = vma->inode == 0 && strcmp(vma->name, "[vdso]") == 0;
    struct elf_image image = {
        .fd = -1, .dev_major = vma->dev_major, .dev_minor = vma->dev_minor, .inode = vma->inode};
    struct why failure = {{0}};
    int r;

    if (!is_vdso && (vma->inode == 0 || is_claimed(o, vma) || !code_is_near(o->maps, i, true)))
        return 0;
    r = is_vdso ? elf_open_vdso(&image, o->memory, vma->range, &failure)
                : open_file(o, &image, vma, &failure);
    if (r != 0 && !is_vdso && !code_is_near(o->maps, i, false))
        return 0; /* a file that only lies near code */
    r = r == -ENOMEM ? r : add(o, &image, vma, &failure);
    if (r < 0) {
        elf_image_release(&image);
        return why_set(why, r, "out of memory for the list of images");
    }
    if (!image.elf && process_is_gone(o))
        return why_set(why, -ESRCH, "process %d has gone", (int)o->pid);
    return 0;
}

int elf_images_open(const struct procfs *procfs, pid_t pid, const struct maps *maps,
                    struct memory *memory, struct elf_images *ret, struct why *why)
{
    struct opening o = {.procfs = procfs, .pid = pid, .maps = maps, .memory = memory};

    for (size_t i = 0; i < maps->count; i++) {
        int r = consider(&o, i, why);
        if (r != 0) {
            elf_images_close(&o.images);
            return r;
        }
    }
    *ret = o.images;
    return 0;
}

void elf_images_close(struct elf_images *images)
{
    for (size_t i = 0; i < images->count; i++)
        elf_image_release(&images->items[i]);
    free(images->items);
    *images = (struct elf_images){0};
}

static bool image_has(const struct elf_image *image, remote_addr address)
{
    if (!range_has(image->range, address))
        return false;
    for (size_t i = 0; i < image->segment_count; i++)
        if (range_has(segment_pages(&image->segments[i]), address))
            return true;
    return !image->elf;
}

struct elf_image *elf_images_find(struct elf_images *images, remote_addr address)
{
    for (size_t i = 0; i < images->count; i++)
        if (image_has(&images->items[i], address))
            return &images->items[i];
    return NULL;
}
