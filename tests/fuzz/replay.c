/*
 * Runs a harness on every input of a directory, without libFuzzer and with any compiler. TAP: a
 * line for each input that once broke something (crash-*, timeout-*, ...), and one for all others
 * together.
 *
 * usage: replay-NAME DIRECTORY
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fuzz.h"

static bool was_found(const char *name)
{
    static const char *const kinds[] = {"crash-", "timeout-", "oom-", "leak-", "slow-"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(name, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

/* Into memory of just this size, so that a sanitizer sees what is read beyond it. */
static void run_file(const char *path)
{
    auto_fclose FILE *file = fopen(path, "re");
    long size;

    fuzz_check(file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0);
    rewind(file);
    auto_free uint8_t *data = malloc((size_t)size);
    fuzz_check((data || size == 0) && fread(data, 1, (size_t)size, file) == (size_t)size);
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;
    int tested = 0, others = 0, found = 0;

    if (count <= 0) {
        printf("1..1\nnot ok 1 - there are inputs\n");
        return 1;
    }
    for (int i = 0; i < count; i++)
        found += was_found(entries[i]->d_name);
    printf("1..%d\n", found + 1);
    for (int i = 0; i < count; i++) {
        char path[4096];

        printf("# %s\n", entries[i]->d_name); /* the last one is what broke it, when it breaks */
        fflush(stdout);
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        run_file(path);
        if (was_found(entries[i]->d_name))
            printf("ok %d - %s\n", ++tested, entries[i]->d_name);
        else
            others++;
        free(entries[i]);
    }
    free(entries);
    printf("ok %d - %d kept inputs\n", tested + 1, others);
    return 0;
}
