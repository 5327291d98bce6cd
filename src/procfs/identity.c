#include "procfs/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "procfs/parse.h"

/* "36 characters of a UUID\n" */
static bool read_boot_id(const struct procfs *procfs, char ret[40])
{
    enum { UUID_LENGTH = 36 };
    auto_free char *buffer = NULL;
    size_t length;

    if (procfs_read(procfs, &buffer, &length, "proc/sys/kernel/random/boot_id") < 0)
        return false;
    if (strspn(buffer, "0123456789abcdef-") != UUID_LENGTH ||
        strcmp(buffer + UUID_LENGTH, "\n") != 0)
        return false;
    memcpy(ret, buffer, UUID_LENGTH);
    ret[UUID_LENGTH] = '\0';
    return true;
}

/* The name, which may hold anything, ends at the last bracket; the time is the 20th word behind it.
 */
static bool read_start(const struct procfs *procfs, pid_t pid, uint64_t *ret)
{
    enum { START_WORD = 20 };
    auto_free char *buffer = NULL;
    struct text text, word = {0};
    size_t length;
    const char *bracket;

    if (procfs_read(procfs, &buffer, &length, "proc/%d/stat", pid) < 0)
        return false;
    bracket = memrchr(buffer, ')', length);
    if (!bracket)
        return false;
    text = (struct text){bracket + 1, buffer + length};
    for (int i = 0; i < START_WORD; i++) {
        text_skip_blanks(&text);
        if (!text_word(&text, &word))
            return false;
    }
    return text_decimal(&word, ret) && text_length(word) == 0;
}

void process_identity_read(const struct procfs *procfs, pid_t pid, struct process_identity *ret)
{
    struct process_identity identity = {0};

    identity.known =
        read_boot_id(procfs, identity.boot_id) && read_start(procfs, pid, &identity.start_ticks);
    *ret = identity.known ? identity : (struct process_identity){0};
}
