/*
 * Reports that are read again: two parts, the earlier and the later one. What is accepted is
 * compared and told, as text for a terminal and as JSON, both of which stay what they are whatever
 * stands in the reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "report/compare.h"
#include "report/snapshot-json.h"

static int read_part(struct fuzz_part part, struct snapshot *ret)
{
    char path[40];
    struct why why = {{0}};
    int fd = memfd_create("residue-fuzz", MFD_CLOEXEC), r;

    fuzz_check(fd >= 0 && write(fd, part.data, part.size) == (ssize_t)part.size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    r = snapshot_read(path, ret, &why);
    close(fd);
    fuzz_check(r == 0 || (r == OUTCOME_NOT_POSSIBLE && why.text[0] && !strchr(why.text, '\n')));
    return r;
}

/* Nothing that moves a cursor or changes colours, and only ASCII where that was asked for. */
static void check_text(const char *text, size_t length, bool utf8)
{
    fuzz_check(length > 0 && text[length - 1] == '\n');
    for (size_t i = 0; i < length; i++) {
        uint8_t c = (uint8_t)text[i];

        fuzz_check(c == '\n' || (c >= ' ' && c != 0x7f));
        fuzz_check(utf8 || c < 0x80);
        fuzz_check(c != 0xc2 || i + 1 == length ||
                   (uint8_t)text[i + 1] >= 0xa0); /* C1 control characters */
    }
}

static void print_text(const struct compare_report *report, bool utf8)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    fuzz_check(out && report_compare_text(
                          report, out,
                          (struct report_style){.utf8 = utf8, .width = 80, .arenas = true}) == 0);
    fclose(out);
    check_text(text, length, utf8);
    free(text);
}

static void print_json(const struct compare_report *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    json_t *again;

    fuzz_check(out && report_compare_json(report, out) == 0);
    fclose(out);
    again = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    fuzz_check(again);
    json_decref(again);
    free(text);
}

static void compare(const struct snapshot *before, const struct snapshot *after)
{
    struct comparison comparison;
    struct compare_report report = {.comparison = &comparison};

    fuzz_check(compare_snapshots(before, after, &comparison) == 0);
    print_text(&report, true);
    print_text(&report, false);
    print_json(&report);
    comparison_free(&comparison);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {data, size}, first = fuzz_next_part(&rest);
    struct snapshot before, after;

    if (read_part(first, &before))
        return 0;
    if (rest.size == 0) {
        compare(&before, &before);
    } else if (read_part(rest, &after) == 0) {
        compare(&before, &after);
        snapshot_free(&after);
    }
    snapshot_free(&before);
    return 0;
}
