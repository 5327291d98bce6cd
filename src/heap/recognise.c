#include "heap/recognise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "elf/binding.h"
#include "elf/text.h"
#include "heap/version.h"

static void version_of_jemalloc(struct elf_image *image, char *version)
{
    version_git(image, version);
}

static void version_of_gperftools(struct elf_image *image, char *version)
{
    version_after(image, 'g', "perftools ", "", version);
}

/* MI_MALLOC_VERSION (mimalloc.h): 209 is 2.0.9; later 20401 is 2.4.1. */
static void version_of_mimalloc(struct elf_image *image, char *version)
{
    uint32_t value, step;

    if (elf_constant_function(image, "mi_version", &value) != 0 || value < 100 || value >= 1000000)
        return;
    if (value >= 1000 && value < 10000) /* neither of the two */
        return;
    step = value < 1000 ? 10 : 100;
    snprintf(version, VERSION_BYTES, "%u.%u.%u", value / step / step, value / step % step,
             value % step);
}

static void version_of_musl(struct elf_image *image, char *version)
{
    version_alone(image, "", 2, version);
}

/*
 * Sources: jemalloc src/malloc_io.c, mimalloc src/options.c (_mi_error_message), gperftools
 * src/tcmalloc.cc (tc_version), tcmalloc system-alloc.cc (the mappings' names), compiler-rt
 * scudo/standalone/report.cpp.
 */
static const struct recognition rows[] = {
    {.name = "jemalloc",
     .symbols = {"mallctl", "je_mallctl", "_rjem_mallctl"},
     .text_first = '<',
     .text = "jemalloc>: ",
     .version = version_of_jemalloc,
     .private_anonymous = true},
    {.name = "mimalloc",
     .symbols = {"mi_version", "mi_heap_new"},
     .text_first = 'm',
     .text = "imalloc: error: ",
     .version = version_of_mimalloc,
     .private_anonymous = true},
    {.name = "gperftools tcmalloc",
     .symbols = {"tc_version"},
     .text_first = 'g',
     .text = "perftools 2.",
     .version = version_of_gperftools,
     .private_anonymous = true},
    {.name = "tcmalloc",
     .symbols = {"MallocExtension_Internal_GetNumericProperty"},
     .text_first = 't',
     .text = "cmalloc_region_%",
     .private_anonymous = true},
    /* musl's dynamic linker finds its own stages by these names (ldso/dynlink.c). */
    {.name = "musl malloc",
     .symbols = {"__dls3", "__dls2b"},
     .version = version_of_musl,
     .private_anonymous = true},
    {.name = "AddressSanitizer", .symbols = {"__asan_init"}, .private_anonymous = true},
    {.name = "HWAddressSanitizer", .symbols = {"__hwasan_init"}, .private_anonymous = true},
    {.name = "ThreadSanitizer", .symbols = {"__tsan_init"}, .private_anonymous = true},
    {.name = "MemorySanitizer", .symbols = {"__msan_init"}, .private_anonymous = true},
    {.name = "LeakSanitizer", .symbols = {"__lsan_init"}, .private_anonymous = true},
    {.name = "Scudo",
     .symbols = {"__scudo_print_stats"},
     .text_first = 'S',
     .text = "cudo ERROR: ",
     .private_anonymous = true},
    /* Its shim's bounds functions (src/snmalloc/override). */
    {.name = "snmalloc",
     .symbols = {"__malloc_last_byte_pointer", "sn_malloc"},
     .private_anonymous = true},
    {.name = "rpmalloc", .symbols = {"rpmalloc", "rpmalloc_initialize"}, .private_anonymous = true},
};

enum { ROWS = sizeof rows / sizeof *rows };

void owners_free(struct owners *owners)
{
    free(owners->items);
    *owners = (struct owners){0};
}

int owners_add(struct owners *owners, const struct owner *owner)
{
    for (size_t i = 0; i < owners->count; i++)
        if (strcmp(owners->items[i].name, owner->name) == 0 &&
            strcmp(owners->items[i].version, owner->version) == 0)
            return 0;
    return vector_push(owners, *owner);
}

static int add(struct owners *owners, struct elf_image *image, const struct recognition *row,
               bool linked_in)
{
    struct owner owner = {.name = row->name,
                          .private_anonymous = row->private_anonymous,
                          .image = image->range,
                          .linked_in = linked_in};

    if (row->version)
        row->version(image, owner.version);
    return owners_add(owners, &owner);
}

static bool exports(struct elf_image *image, const struct recognition *row)
{
    size_t most = sizeof row->symbols / sizeof *row->symbols;
    remote_addr address;

    for (size_t i = 0; i < most && row->symbols[i]; i++)
        if (elf_dynamic_symbol(image, row->symbols[i], &address, NULL) == 0)
            return true;
    return false;
}

/* ld.so up to glibc 2.30 has a malloc for itself, which no other image is bound to (elf/rtld.c). */
static bool is_loader(struct elf_image *image)
{
    remote_addr address;

    return elf_dynamic_symbol(image, "_dl_allocate_tls", &address, NULL) == 0;
}

int owners_add_exported(struct owners *owners, struct elf_image *image,
                        const struct recognition *table, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        if (exports(image, &table[i]))
            r = add(owners, image, &table[i], false);
    return r;
}

/* glibc is known by what it exports, and its malloc is told apart; ld.so keeps no heap. */
static bool is_libc_or_loader(struct elf_image *image)
{
    remote_addr address;

    return elf_dynamic_symbol(image, "__libc_start_main", &address, NULL) == 0 || is_loader(image);
}

/* A dynamic image that keeps a heap calls mmap or madvise of its libc; a static program has them in
 * it. */
static bool can_keep_a_heap(struct elf_image *image)
{
    return image->elf && !image->is_32_bit &&
           (!elf_needs_libraries(image) || elf_has_dynamic_string(image, "madvise") ||
            elf_has_dynamic_string(image, "mmap") || elf_has_dynamic_string(image, "mmap64"));
}

static bool begins_so(void *context, const char *string, const char *at)
{
    const struct recognition *row = context;

    return at > string && at[-1] == row->text_first;
}

/* Those rows whose constants are worth looking for in `image`. */
static void choose(struct elf_image *image, struct recognitions table,
                   struct elf_text_search *searches, size_t *count)
{
    for (size_t i = 0; i < table.count && *count < ELF_TEXT_SEARCHES_MOST; i++) {
        const struct recognition *row = &table.rows[i];

        if (row->text && range_length(image->range) >= row->least_bytes && !exports(image, row))
            searches[(*count)++] = (struct elf_text_search){
                .needle = row->text, .accept = begins_so, .context = (void *)(uintptr_t)row};
    }
}

/* One pass over the constants for both tables: they can be a hundred MiB. */
static int add_linked_in(struct owners *owners, struct elf_image *image, struct recognitions others)
{
    struct elf_text_search searches[ELF_TEXT_SEARCHES_MOST];
    size_t count = 0;
    int r;

    if (!can_keep_a_heap(image) || is_libc_or_loader(image))
        return 0;
    choose(image, others, searches, &count);
    choose(image, (struct recognitions){rows, ROWS}, searches, &count);
    r = elf_search_text(image, searches, count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (searches[i].found)
            r = add(owners, image, searches[i].context, true);
    return r < 0 ? r : 0;
}

static bool is_glibc(struct elf_image *image)
{
    remote_addr address;

    return elf_dynamic_symbol(image, "gnu_get_libc_version", &address, NULL) == 0;
}

static bool others_define_malloc(struct elf_images *images, const struct elf_image *libc)
{
    remote_addr address;

    for (size_t i = 0; i < images->count; i++)
        if (&images->items[i] != libc && !is_loader(&images->items[i]) &&
            elf_dynamic_symbol(&images->items[i], "malloc", &address, NULL) == 0)
            return true;
    return false;
}

static bool is_allocator(const struct owners *owners, remote_addr address)
{
    for (size_t i = 0; i < owners->count; i++)
        if (owners->items[i].private_anonymous && range_has(owners->items[i].image, address))
            return true;
    return false;
}

/* What is bound to `malloc` in this image's GOT. */
static bool read_binding(struct elf_image *image, struct memory *memory, remote_addr *ret)
{
    remote_addr slot;

    return elf_symbol_slot(image, "malloc", &slot) == 0 &&
           memory_read_u64(memory, slot, ret, NULL) == 0;
}

/*
 * libc calls malloc through its own GOT, so that interposers get its calls, too (glibc's
 * localplt.data): what is bound there is what serves the process. A program that is not position
 * independent and takes malloc's address makes that the address of its own PLT entry (System V
 * psABI, 5.2), whose slot then tells.
 */
static enum glibc_use ask_binding(struct elf_images *images, struct elf_image *libc,
                                  struct memory *memory, const struct owners *owners)
{
    remote_addr bound, own, defined;
    struct elf_image *program;

    if (!memory || elf_dynamic_symbol(libc, "malloc", &own, NULL) != 0 ||
        !read_binding(libc, memory, &bound))
        return GLIBC_MAYBE;
    program = elf_images_find(images, bound);
    if (program && program != libc &&
        elf_dynamic_symbol(program, "malloc", &defined, NULL) == OUTCOME_NOT_FOUND &&
        !read_binding(program, memory, &bound))
        return GLIBC_MAYBE;
    if (bound == own)
        return GLIBC_USED;
    return !range_has(libc->range, bound) && is_allocator(owners, bound) ? GLIBC_UNUSED
                                                                         : GLIBC_MAYBE;
}

/* Its malloc is linked into a static program only where the program calls it. */
static bool is_static_glibc(struct elf_image *image)
{
    static const struct recognition malloc_printerr = {.text_first = 'm'};
    struct elf_text_search search = {.needle = "alloc(): corrupted top size",
                                     .accept = begins_so,
                                     .context = (void *)(uintptr_t)&malloc_printerr};

    return image->elf && !elf_needs_libraries(image) && elf_search_text(image, &search, 1) == 0 &&
           search.found;
}

static enum glibc_use find_glibc_use(struct elf_images *images, struct memory *memory,
                                     const struct owners *owners)
{
    enum glibc_use use = GLIBC_ABSENT;

    for (size_t i = 0; i < images->count; i++) {
        struct elf_image *image = &images->items[i];

        if (strcmp(image->path, "[vdso]") == 0) /* the kernel's; never a libc */
            continue;
        if (!image->elf || image->is_32_bit)
            use = GLIBC_MAYBE;
        else if (is_glibc(image))
            return others_define_malloc(images, image) ? ask_binding(images, image, memory, owners)
                                                       : GLIBC_USED;
        else if (is_static_glibc(image))
            return GLIBC_USED;
    }
    return use;
}

int allocators_recognise(struct elf_images *images, struct memory *memory,
                         struct recognitions others, struct owners *owners)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < images->count; i++) {
        r = owners_add_exported(owners, &images->items[i], rows, ROWS);
        if (r == 0)
            r = add_linked_in(owners, &images->items[i], others);
    }
    if (r == 0)
        owners->glibc = find_glibc_use(images, memory, owners);
    return r;
}
