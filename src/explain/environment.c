/* The settings of malloc that the process was started with. Done when it runs again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diagnose/environment.h"
#include "elf/file.h"
#include "explain/look.h"

/* Only what is present is read: what was swapped out stays there. */
static int read_text(struct look *look, struct range range, uint8_t **ret, struct why *why)
{
    struct memory *memory = &look->target.memory.memory;
    struct range pages = {align_down(range.start, PAGE_BYTES), align_up(range.end, PAGE_BYTES)};
    size_t count = range_length(pages) / PAGE_BYTES;
    auto_free uint8_t *flags = malloc(count + 1), *text = malloc(count * PAGE_BYTES + 1);
    bool absent = false;
    int r = flags && text ? 0 : -ENOMEM;

    if (r == 0)
        r = memory_page_flags(memory, pages.start, count, flags, why);
    if (r == 0)
        r = memory_read_pages(memory, pages.start, count, flags, text, why);
    for (size_t i = 0; r == 0 && i < count; i++)
        absent |= !(flags[i] & PAGE_PRESENT) || flags[i] & PAGE_UNREADABLE;
    if (r)
        return r;
    *ret = text;
    text = NULL;
    return absent;
}

static int take_variables(struct look *look, struct environ_variables *variables, struct why *why)
{
    auto_free uint8_t *text = NULL;
    struct why reason;
    struct range range;
    int r = environ_range(look->procfs, look->pid, &range, why);

    if (r)
        return r;
    r = read_text(look, range, &text, why);
    if (r < 0)
        return r;
    if (r > 0) {
        why_set(&reason, 0,
                "a part of what the process was started with is not in memory and was left there: "
                "settings in it are not known");
        look_refuse(look, &reason, "environment");
    }
    return environ_take((const char *)text + range.start % PAGE_BYTES, range_length(range),
                        environment_is_of_interest, variables);
}

static bool has_mapping(const struct maps *maps, const char *name)
{
    for (size_t i = 0; i < maps->count; i++) {
        const char *slash = strrchr(maps->items[i].name, '/');

        if (slash && strncmp(slash + 1, name, strlen(name)) == 0)
            return true;
    }
    return false;
}

enum { SEGMENT_MOST = 8 << 20 }; /* ld.so's are some KiB */

/* A word of its own, with NUL behind it, in the bytes of one segment's file. */
static int segment_has_word(const struct elf_image *image, const struct elf_segment *segment,
                            const char *word)
{
    size_t length = strlen(word) + 1;
    auto_free char *bytes = NULL;

    if (segment->file_bytes > SEGMENT_MOST || segment->executable)
        return 0;
    bytes = malloc(segment->file_bytes + 1);
    if (!bytes || elf_read_file(image, segment->file_offset, bytes, segment->file_bytes) != 0)
        return 0;
    return memmem(bytes, segment->file_bytes, word, length) != NULL;
}

static bool image_has_word(const struct elf_image *image, const char *word)
{
    for (size_t i = 0; image->elf && i < image->segment_count; i++)
        if (segment_has_word(image, &image->segments[i], word))
            return true;
    return false;
}

/* The names stand in the image that reads the environment: ld.so, or a static program. They are
 * constants, or data that is relocated. */
static int knows_tunable(void *context, const char *name)
{
    const struct elf_images *images = context;

    for (size_t i = 0; i < images->count; i++) {
        const char *slash = strrchr(images->items[i].path, '/');

        if (images->count > 2 && (!slash || strncmp(slash + 1, "ld-", 3) != 0)) /* and the vDSO */
            continue;
        if (image_has_word(&images->items[i], "glibc.malloc.mmap_max"))
            return image_has_word(&images->items[i], name);
    }
    return -1;
}

static int judge(struct look *look, const struct environ_variables *variables)
{
    struct explanation *out = look->out;
    struct environment_facts facts = {.variables = variables,
                                      .allocator = out->allocator,
                                      .settings = out->decoded ? &out->settings : NULL,
                                      .version = out->allocator_version,
                                      .has_debug_malloc =
                                          has_mapping(&look->maps, "libc_malloc_debug.so"),
                                      .knows_tunable = knows_tunable,
                                      .context = &look->images};
    int r = process_is_secure(look->procfs, look->pid, &facts.secure);

    if (r == -ENOMEM)
        return r;
    return environment_judge(&facts, &out->environment);
}

int look_at_environment(struct look *look, struct why *why)
{
    struct environ_variables variables = {0};
    struct why reason = {""};
    int r;

    if (!look->target.has_memory)
        return 0;
    r = take_variables(look, &variables, &reason);
    if (r == 0)
        r = judge(look, &variables);
    look->out->environment_known = r == 0;
    environ_free(&variables);
    if (r == -ENOMEM || r == -ESRCH) {
        if (why)
            *why = reason;
        return r;
    }
    if (r)
        look_refuse(look, &reason, "environment");
    return 0;
}
