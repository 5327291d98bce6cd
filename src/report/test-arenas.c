/* --arenas: the tables of arenas and of size classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/test-explanation.h"

static const struct report_style wide = {.arenas = true, .width = 130};

static void has(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    if (!strstr(text, part)) {
        fputs(text, stderr); /* a message of cmocka's would be cut */
        fail_msg("\"%s\" is not there", part);
    }
}

static void lacks(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
}

static void arenas_are_a_table(void **state)
{
    struct explanation e = typical_explanation();

    e.tally.arenas[0].free_bytes[SPAN_BIN] = 1000 * MIB + MIB / 2;
    e.tally.arenas[0].free_bytes[SPAN_TOP] = 30 * MIB;
    e.arenas.items[1].reserved_bytes = 64 * MIB;
    e.tally.arenas[1] = (struct arena_tally){.live_bytes = 1,
                                             .live_blocks = 5,
                                             .resident_bytes = 1800 * MIB,
                                             .free_bytes = {[SPAN_BIN] = 9 * MIB + MIB / 2},
                                             .account = {[ACCOUNT_HEAP_RETURNABLE] = 5 * MIB}};
    has(&e, wide,
        "\n"
        "  arena                heaps  reserved  resident  live  blocks  tcache  fastbin  bins   "
        "top  "
        "returnable  pinned\n"
        "                                   MiB       MiB   MiB               B        B   MiB   "
        "MiB  "
        "       MiB     MiB\n"
        "  0x7f1000000030           2        64      1800    <1       5       0        0    10     "
        "0  "
        "         5       0\n"
        "  0x7f0000001c80 main      1      1024      1700   600  70,000       1        2  1000  "
        "30.0  "
        "      1040    88.0\n"
        "  mmapped chunks                              <1    <1       3     100        0     0     "
        "0  "
        "         0       0\n"
        "  all                      3      1088      3500   600  70,008     101        2  1010  "
        "30.0  "
        "      1045    88.0\n");
    explanation_free(&e);
}

static void colours_and_quiet(void **state)
{
    struct explanation e = typical_explanation();
    struct report_style coloured = wide, quiet = wide;

    coloured.color = true;
    quiet.quiet = true;
    has(&e, coloured, "\x1b[2marena\x1b[0m");
    lacks(&e, quiet, "arena");
    lacks(&e, (struct report_style){.width = 130}, "0x7f0000001c80");
    explanation_free(&e);
}

/* Some of each figure is known of an arena that was refused: what the kernel tells. */
static void refused_arenas_are_last_with_their_reasons(void **state)
{
    struct explanation e = typical_explanation();

    e.arenas.items[0].refused = true;
    for (unsigned i = 0; i < 12; i++)
        add_refusal(&e, "glibc arena at 0x7f0000001c80", "its chunks contradict each other");
    add_refusal(&e, "the last", "is told, too");
    has(&e, wide, "  0x7f1000000030           2         0         0     1       0 ");
    has(&e, wide, "\n  0x7f0000001c80 main      1      1024   refused\n");
    has(&e, wide, "refusal: glibc arena at 0x7f0000001c80: its chunks contradict each other\n");
    has(&e, wide, "refusal: the last: is told, too\n");
    lacks(&e, (struct report_style){.width = 130}, "the last");
    explanation_free(&e);
}

static void without_a_heap_there_is_no_table(void **state)
{
    struct explanation e = opaque_explanation();

    has(&e, wide, "no heap was decoded, so that no arenas can be told\n");
    lacks(&e, wide, "returnable");
    lacks(&e, wide, "chunks in use of");
}

/* The number in a row's column `skip` from the left, units and thousands' commas apart; "<1" is 0.
 */
static unsigned long number_in(const char *line, unsigned skip)
{
    char word[64] = "";
    int length = 0;

    for (; skip > 0 && sscanf(line, "%63s%n", word, &length) == 1; skip--)
        line += length;
    return sscanf(line, " %63s", word) == 1 && word[0] != '<' ? strtoul(word, NULL, 10) : 0;
}

static void any_column_adds_up(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;
    unsigned long resident = 0, live = 0;
    unsigned rows = 0;
    const char *rest;
    struct line line;

    for (unsigned i = 0; i < 2000; i++)
        add_arena(&e, (struct heap_arena){.address = 0x10000000 + 4096 * i, .heaps = 1},
                  (struct arena_tally){.resident_bytes = MIB / 3 + 1000 * i,
                                       .live_bytes = MIB / 2 + 77 * i});
    text = text_of(&e, wide);
    rest = text;
    while (next_line(&rest, &line)) {
        bool arena = strncmp(line.text, "  0x", 4) == 0, main = strstr(line.text, " main ");

        if (strncmp(line.text, "  mmapped", 9) == 0)
            rows++; /* a few bytes */
        if (arena) {
            rows++;
            resident += number_in(line.text, main ? 4 : 3);
            live += number_in(line.text, main ? 5 : 4);
        }
        if (strncmp(line.text, "  all  ", 7) != 0 || rows < 2000)
            continue;
        assert_int_equal(number_in(line.text, 3), resident);
        assert_int_equal(number_in(line.text, 4), live);
        assert_int_equal(rows, 2003);
        rows = 0;
    }
    assert_int_equal(rows, 0);
    explanation_free(&e);
}

static void narrow_pages_have_fewer_columns(void **state)
{
    struct explanation e = typical_explanation();

    for (unsigned width = 50; width < 130; width += 5) {
        auto_free char *text = text_of(&e, (struct report_style){.arenas = true, .width = width});
        const char *rest = text;
        struct line line;

        while (next_line(&rest, &line))
            if (strlen(line.text) > width && !strstr(line.text, "MALLOC_"))
                fail_msg("%zu columns, not %u: %s", strlen(line.text), width, line.text);
        assert_non_null(strstr(text, "returnable\n") ?: strstr(text, "returnable  pinned\n"));
    }
    has(&e, (struct report_style){.arenas = true, .width = 60},
        "  no room here for: heaps, reserved");
    lacks(&e, wide, "no room here");
    explanation_free(&e);
}

static void the_largest_size_classes_are_told(void **state)
{
    struct explanation e = typical_explanation();

    has(&e, wide,
        "\n"
        "  chunks in use of  blocks    bytes  pages pinned\n"
        "  8 KiB to 16 KiB   10,000  597 MiB         4,000\n"
        "  48 B              60,000    3 MiB        20,000\n"
        "  all               70,000  600 MiB\n"
        "  pinned: 22,000 pages: free memory there cannot go back, because of 3072 KiB in use on "
        "the same pages\n"
        "\n");
    for (unsigned i = 10; i < 30; i++)
        e.census.classes[i] = (struct census_class){.blocks = 1, .bytes = 16 * i};
    e.census.classes[CENSUS_CLASSES - 1] = (struct census_class){.blocks = 1, .bytes = 9 * GIB};
    has(&e, wide, "  8192 MiB or more       1  9216 MiB             0\n");
    has(&e, wide, "  13 more sizes         13    <1 MiB\n");
    memset(&e.census, 0, sizeof e.census);
    lacks(&e, wide, "chunks in use of");
    explanation_free(&e);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(arenas_are_a_table),
        cmocka_unit_test(colours_and_quiet),
        cmocka_unit_test(refused_arenas_are_last_with_their_reasons),
        cmocka_unit_test(without_a_heap_there_is_no_table),
        cmocka_unit_test(any_column_adds_up),
        cmocka_unit_test(narrow_pages_have_fewer_columns),
        cmocka_unit_test(the_largest_size_classes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
