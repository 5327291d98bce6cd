#include "runtime/recognise.h"

#include <stdio.h>
#include <string.h>

#include "elf/binding.h"
#include "elf/file.h"
#include "heap/version.h"
#include "runtime/go.h"

/* Bytes of a constant that the image exports. */
static bool read_exported(struct elf_image *image, const char *name, void *buffer, size_t length)
{
    remote_addr address;

    return elf_dynamic_symbol(image, name, &address, NULL) == 0 &&
           elf_read_linked(image, address - image->bias, buffer, length) == 0;
}

/* "3.9" of "/usr/lib/libpython3.9.so.1.0": what follows `stem` in the file's name. */
static bool series_in_name(const struct elf_image *image, const char *stem, char *series,
                           size_t size)
{
    const char *slash = strrchr(image->path, '/');
    const char *at = strstr(slash ? slash : image->path, stem);
    unsigned major, minor;

    if (!at || sscanf(at + strlen(stem), "%2u.%3u", &major, &minor) != 2)
        return false;
    snprintf(series, size, "%u.%u", major, minor);
    return true;
}

/* PY_VERSION_HEX: major, minor, micro, level (a, b, c or f), serial. */
static void version_from_hex(uint32_t hex, char *version)
{
    static const char *const levels[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
    const char *level = levels[hex >> 4 & 0xf];
    int length =
        snprintf(version, VERSION_BYTES, "%u.%u.%u", hex >> 24, hex >> 16 & 0xff, hex >> 8 & 0xff);

    if (level)
        snprintf(version + length, VERSION_BYTES - (size_t)length, "%s%u", level, hex & 0xf);
}

/* The head of _PyRuntime since 3.13: a cookie, a version, and whether there is no GIL
 * (pycore_debug_offsets.h). */
static bool is_free_threaded(struct elf_image *image)
{
    struct {
        char cookie[8];
        uint64_t version, free_threaded;
    } head;

    return read_exported(image, "_PyRuntime", &head, sizeof head) &&
           memcmp(head.cookie, "xdebugpy", sizeof head.cookie) == 0 && head.free_threaded == 1;
}

/* Py_Version is exported since 3.11; before, the file's name tells the series, and a constant the
 * rest. */
static void version_of_cpython(struct elf_image *image, char *version)
{
    char series[16], start[20];
    uint32_t hex;

    if (read_exported(image, "Py_Version", &hex, sizeof hex)) {
        version_from_hex(hex, version);
        if (is_free_threaded(image))
            strncat(version, "t", VERSION_BYTES - 1 - strlen(version));
    } else if (series_in_name(image, "python", series, sizeof series)) {
        memcpy(version, series, strlen(series) + 1);
        snprintf(start, sizeof start, "%s.", series);
        version_alone(image, start, 2, version);
    }
}

static void version_of_ruby(struct elf_image *image, char *version)
{
    char text[VERSION_BYTES];

    if (read_exported(image, "ruby_version", text, sizeof text))
        version_keep(text, strnlen(text, sizeof text), version);
}

static void version_of_hotspot(struct elf_image *image, char *version)
{
    /* Abstract_VM_Version::internal_vm_info_string; the vendor's name stands before it */
    version_after(image, ' ', "64-Bit Server VM (", ")", version);
}

static void version_of_v8(struct elf_image *image, char *version)
{
    /* V8_EMBEDDER_STRING: node has its patches counted in it, Deno's crate its name. */
    version_suffixed(image, 3, "-node.", version);
    if (!version[0])
        version_suffixed(image, 3, "-rusty", version);
}

static void version_of_coreclr(struct elf_image *image, char *version)
{
    version_after(image, '@', "(#)Version ", " ", version);
}

static void version_of_php(struct elf_image *image, char *version)
{
    version_after(image, 'X', "-Powered-By: PHP/", "", version);
}

static void version_of_erlang(struct elf_image *image, char *version)
{
    /* beam_load.c: "... the runtime system than the current (Erlang/OTP 25)." */
    version_after(image, '(', "Erlang/OTP ", ")", version);
}

static void version_of_luajit(struct elf_image *image, char *version)
{
    version_after(image, 'L', "uaJIT ", " ", version);
}

/* GC_VERSION_MAJOR, _MINOR and _MICRO, a byte each (misc.c). */
static void version_of_boehm_gc(struct elf_image *image, char *version)
{
    uint32_t value;

    if (elf_constant_function(image, "GC_get_version", &value) == 0 && value >> 24 == 0)
        snprintf(version, VERSION_BYTES, "%u.%u.%u", value >> 16, value >> 8 & 0xff, value & 0xff);
}

/* JavaScript engines are larger than that by far. */
enum { ENGINE_BYTES = 8 << 20 };

static const struct recognition rows[] = {
    {.name = "CPython",
     .symbols = {"Py_GetVersion"},
     .version = version_of_cpython,
     .private_anonymous = true,
     .embeds = "mimalloc"}, /* since 3.13, used without the GIL only */
    {.name = "Ruby",
     .symbols = {"ruby_version"},
     .version = version_of_ruby,
     .private_anonymous = true},
    {.name = "HotSpot",
     .symbols = {"gHotSpotVMStructs"},
     .version = version_of_hotspot,
     .private_anonymous = true},
    {.name = "V8",
     .symbols = {"_ZN2v82V810GetVersionEv", "v8dbg_SmiTag"},
     .text_first = 'm',
     .text = "ax size of the old space (in M", /* flag-definitions.h */
     .least_bytes = ENGINE_BYTES,
     .version = version_of_v8,
     .private_anonymous = true},
    {.name = "JavaScriptCore",
     .symbols = {"JSEvaluateScript", "jsc_context_new"},
     .text_first = 'J',
     .text = "SC::DFG::SpeculativeJIT::", /* in what its assertions say */
     .least_bytes = ENGINE_BYTES,
     .private_anonymous = true},
    {.name = "Mono", .symbols = {"mono_gc_collect"}, .private_anonymous = true},
    {.name = ".NET",
     .symbols = {"coreclr_initialize"},
     .version = version_of_coreclr,
     .private_anonymous = true},
    {.name = "PHP",
     .symbols = {"_zend_mm_alloc"},
     .version = version_of_php,
     .private_anonymous = true},
    {.name = "Erlang",
     .symbols = {"enif_alloc"},
     .version = version_of_erlang,
     .private_anonymous = true},
    {.name = "LuaJIT",
     .symbols = {"luaJIT_setmode"},
     .version = version_of_luajit,
     .private_anonymous = true},
    {.name = "Boehm GC",
     .symbols = {"GC_malloc_atomic"},
     .version = version_of_boehm_gc,
     .private_anonymous = true},
};

enum { ROWS = sizeof rows / sizeof *rows };

static int add_go(struct owners *owners, struct elf_image *image)
{
    struct owner owner = {.name = "Go", .private_anonymous = true, .image = image->range};

    return go_build_version(image, owner.version) == 0 ? owners_add(owners, &owner) : 0;
}

static int add_runtimes(struct owners *owners, struct elf_image *image)
{
    size_t before = owners->count;
    int r = owners_add_exported(owners, image, rows, ROWS);

    return r == 0 && owners->count == before ? add_go(owners, image) : r;
}

/* What a runtime brings along in its own image is the runtime's. */
static bool is_embedded(const struct owners *owners, const struct owner *allocator)
{
    for (size_t i = 0; i < owners->count; i++)
        for (size_t k = 0; k < ROWS; k++)
            if (rows[k].embeds && strcmp(rows[k].embeds, allocator->name) == 0 &&
                strcmp(rows[k].name, owners->items[i].name) == 0 && allocator->linked_in &&
                owners->items[i].image.start == allocator->image.start)
                return true;
    return false;
}

static int add_allocators(struct owners *owners, struct elf_images *images, struct memory *memory)
{
    struct owners found = {0};
    int r = allocators_recognise(images, memory, (struct recognitions){rows, ROWS}, &found);

    for (size_t i = 0; r == 0 && i < found.count; i++)
        if (!is_embedded(owners, &found.items[i]))
            r = owners_add(owners, &found.items[i]);
    owners->glibc = found.glibc;
    owners_free(&found);
    return r;
}

/* Names that programs give to their anonymous memory (PR_SET_VMA_ANON_NAME), by how they begin. */
static const struct {
    const char *prefix, *owner;
} names[] = {
    {"[anon: Go: ", "Go"},                       /* runtime/set_vma_name_linux.go, 1.25 */
    {"[anon:Ruby:", "Ruby"},                     /* ruby_annotate_mmap, 3.4 */
    {"[anon:cpython:", "CPython"},               /* pycore_mmap.h, 3.15 */
    {"[anon:zend_", "PHP"},                      /* Zend/zend_mmap.h, 8.4 */
    {"[anon:jemalloc_pg", "jemalloc"},           /* src/pages.c, --enable-pageid */
    {"[anon:mimalloc", "mimalloc"},              /* src/prim/unix/prim.c, 2.2.3 and 3.0.3 */
    {"[anon:tcmalloc_region_", "tcmalloc"},      /* system-alloc.cc */
    {"[anon:scudo:", "Scudo"},                   /* compiler-rt, scudo/standalone */
    {"[anon:partition_alloc", "PartitionAlloc"}, /* Chromium, page_allocator_internals_posix.h */
    {"[anon: glibc: malloc", "glibc"},           /* malloc/arena.c, glibc.mem.decorate_maps, 2.39 */
};

const char *owner_by_mapping_name(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i].prefix, strlen(names[i].prefix)) == 0)
            return names[i].owner;
    return NULL;
}

static bool is_known(const struct owners *owners, const char *name)
{
    for (size_t i = 0; i < owners->count; i++)
        if (strcmp(owners->items[i].name, name) == 0)
            return true;
    return false;
}

/* glibc is told by owners.glibc. */
static int add_named(struct owners *owners, const struct maps *maps)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < maps->count; i++) {
        const char *name = owner_by_mapping_name(maps->items[i].name);
        struct owner owner = {.name = name, .private_anonymous = true};

        if (name && strcmp(name, "glibc") != 0 && !is_known(owners, name))
            r = owners_add(owners, &owner);
    }
    return r;
}

int owners_recognise(struct elf_images *images, const struct maps *maps, struct memory *memory,
                     struct owners *ret)
{
    struct owners owners = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < images->count; i++)
        r = add_runtimes(&owners, &images->items[i]);
    if (r == 0)
        r = add_allocators(&owners, images, memory);
    if (r == 0)
        r = add_named(&owners, maps);
    if (r != 0) {
        owners_free(&owners);
        return r;
    }
    *ret = owners;
    return 0;
}
