#include "heap/version.h"

#include <ctype.h>
#include <string.h>

#include "elf/text.h"

struct wanted {
    char first;
    const char *start, *end;
    unsigned points;
    char *version;
    char found[VERSION_BYTES];
    bool contradicted;
};

static void search(struct elf_image *image, const char *needle,
                   bool (*accept)(void *, const char *, const char *), struct wanted *wanted)
{
    struct elf_text_search text = {.needle = needle, .accept = accept, .context = wanted};
    int r = elf_search_text(image, &text, 1);

    (void)r; /* unreadable: the version stays unknown */
}

bool version_keep(const char *text, size_t length, char *version)
{
    if (length == 0 || length >= VERSION_BYTES || !isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && (!text[i] || !strchr(".-+~_:", text[i])))
            return false;
    memcpy(version, text, length);
    version[length] = '\0';
    return true;
}

static bool keep(struct wanted *wanted, const char *text, size_t length)
{
    return version_keep(text, length, wanted->version);
}

static bool accept_after(void *context, const char *string, const char *at)
{
    struct wanted *wanted = context;
    const char *version = at + strlen(wanted->start);

    return at > string && at[-1] == wanted->first &&
           keep(wanted, version, strcspn(version, wanted->end));
}

void version_after(struct elf_image *image, char first, const char *after, const char *end,
                   char *version)
{
    search(image, after, accept_after,
           &(struct wanted){.first = first, .start = after, .end = end, .version = version});
}

/* Digits, points between them; returns how many characters, or 0. */
static size_t numbers(const char *text, unsigned points)
{
    size_t i = 0;

    for (;; i++) {
        if (!isdigit((unsigned char)text[i]))
            return 0;
        while (isdigit((unsigned char)text[i]))
            i++;
        if (points == 0)
            return i;
        if (text[i] != '.')
            return 0;
        points--;
    }
}

/*
 * Goes on after the first, to see whether they agree. Linkers merge a constant that ends another
 * one into it, so that a version may be the end of a longer text; which only counts if it begins as
 * is known.
 */
static bool accept_alone(void *context, const char *string, const char *at)
{
    struct wanted *wanted = context;
    const char *text = wanted->start[0] ? at : string;
    size_t length = numbers(text, wanted->points);
    bool begins = text == string || !(isalnum((unsigned char)text[-1]) || text[-1] == '.');

    if (length == 0 || length >= VERSION_BYTES || text[length] != '\0' || !begins)
        return false;
    if (wanted->found[0] && strcmp(wanted->found, text) != 0)
        wanted->contradicted = true;
    memcpy(wanted->found, text, length + 1);
    return false;
}

void version_alone(struct elf_image *image, const char *start, unsigned points, char *version)
{
    struct wanted wanted = {.start = start, .points = points};

    search(image, start[0] ? start : ".", accept_alone, &wanted);
    if (wanted.found[0] && !wanted.contradicted)
        memcpy(version, wanted.found, sizeof wanted.found);
}

static bool accept_suffixed(void *context, const char *string, const char *at)
{
    struct wanted *wanted = context;
    size_t length = numbers(string, wanted->points);
    const char *number = at + strlen(wanted->end);
    bool numbered = number[-1] == '.', digits = isdigit((unsigned char)number[0]) != 0;

    return length > 0 && string + length == at && digits == numbered &&
           number[strspn(number, "0123456789")] == '\0' && keep(wanted, string, strlen(string));
}

void version_suffixed(struct elf_image *image, unsigned points, const char *suffix, char *version)
{
    search(image, suffix, accept_suffixed,
           &(struct wanted){.end = suffix, .points = points, .version = version});
}

/* "-<commits since>-g<hash>" behind the release. */
static bool accept_git(void *context, const char *string, const char *at)
{
    size_t length = numbers(string, 2), hash = strspn(at + 2, "0123456789abcdef");

    if (length == 0 || string[length] != '-' || hash < 7 || at[2 + hash] != '\0')
        return false;
    length += 1 + strspn(string + length + 1, "0123456789");
    if (string + length != at)
        return false;
    return keep(context, string, numbers(string, 2));
}

void version_git(struct elf_image *image, char *version)
{
    search(image, "-g", accept_git, &(struct wanted){.version = version});
}
