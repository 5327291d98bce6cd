/*
 * Who keeps memory in a process: allocators here, language runtimes in runtime/recognise.h. Told from the images'
 * symbols and constants, so also for what no decoder understands. Presence is not use: one process can have several.
 */
#pragma once

#include "elf/image.h"

struct owner {
    const char *name;       /* "jemalloc", "CPython": static */
    char version[32];       /* "" when it cannot be known */
    bool private_anonymous; /* keeps a heap of its own in anonymous memory */
    struct range image;     /* where its code is */
    bool linked_in;         /* known by its constants only: with no symbol, it may lie there unused */
};

/* Who serves malloc where glibc is mapped. */
enum glibc_use {
    GLIBC_ABSENT, /* another libc, none, or a static program without malloc */
    GLIBC_UNUSED, /* malloc is bound to a recognised allocator */
    GLIBC_MAYBE,  /* something else defines malloc, too; it may hand calls on, or not be what calls go to */
    GLIBC_USED,
};

struct owners {
    struct owner *items; /* each name and version once */
    size_t count, capacity;
    enum glibc_use glibc;
};

/* How to recognise one: a table's row. */
struct recognition {
    const char *name;
    const char *symbols[3]; /* one of these is defined and exported; NULL-terminated when fewer */
    /*
     * A string that it always carries, for where it is linked in without symbols; its first character stands apart, so
     * that this table does not carry it, too. Looked for only in images that can ask the kernel for memory.
     */
    char text_first;
    const char *text;
    uint64_t least_bytes; /* no image that is smaller has it linked in */
    /* Tells the version where the image does; `version` has room for 32 bytes. */
    void (*version)(struct elf_image *image, char *version);
    bool private_anonymous;
    const char *embeds; /* name of an allocator that it brings along: linked into the same image, it is part of it */
};

struct recognitions {
    const struct recognition *rows;
    size_t count;
};

/*
 * Adds what allocators are in `images`, and tells who serves glibc's malloc. `memory` may be NULL. Of `others` those are
 * added, too, whose `text` is in an image that exports none of their symbols: what is linked in. 0 or negative errno.
 */
int allocators_recognise(struct elf_images *images, struct memory *memory, struct recognitions others,
                         struct owners *owners) must_check;
void owners_free(struct owners *owners);

/* For other tables: adds the rows whose symbols `image` exports. 0 or -ENOMEM. */
int owners_add_exported(struct owners *owners, struct elf_image *image, const struct recognition *rows, size_t count)
    must_check;

/* Adds one, unless it is there with this version. 0 or -ENOMEM. */
int owners_add(struct owners *owners, const struct owner *owner) must_check;
