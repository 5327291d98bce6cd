#include "report/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/foreign.h"
#include "report/test-explanation.h"

static const struct report_style plain = {.utf8 = true};

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
}

static void check(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    has(text, part);
}

static void check_lacks(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    lacks(text, part);
}

/* "  label   1044 MiB  ##": the figure in hundredths of its unit, and its unit. False if it is no
 * row of the table. */
static bool row_of(const char *line, uint64_t *ret_hundredths, char unit[4])
{
    const char *at = strstr(line, "   ") == line ? NULL : line;
    unsigned long whole = 0, fraction = 0;
    int digits = 0, end = 0;

    if (!at || strncmp(line, "  ", 2) != 0)
        return false;
    for (at = line + 2; *at; at++) {
        if (strncmp(at, "  ", 2) != 0)
            continue;
        at += strspn(at, " ");
        if (*at == '<') { /* rounds to nothing */
            *ret_hundredths = 0;
            return sscanf(at, "<%*s %3s", unit) == 1;
        }
        if (sscanf(at, "%lu.%n%lu%n %3s", &whole, &digits, &fraction, &end, unit) == 3)
            *ret_hundredths = whole * 100 + fraction * (end - digits == 1 ? 10 : 1);
        else if (sscanf(at, "%lu %3s", &whole, unit) == 2)
            *ret_hundredths = whole * 100;
        else
            continue;
        return true;
    }
    return false;
}

/* "RSS 1884 MiB: ..." */
static void read_headline(const char *text, uint64_t *ret_hundredths, char unit[4])
{
    char row[64];
    const char *at = strstr(text, "RSS ");

    assert_non_null(at);
    snprintf(row, sizeof row, "  RSS  %.*s", (int)strcspn(at + 4, ":"), at + 4);
    assert_true(row_of(row, ret_hundredths, unit));
}

/* Adds the table up as a reader would. */
static void adds_up(const char *text)
{
    uint64_t total, sum = 0, part;
    char unit[4], row_unit[4];
    const char *rest = text;
    struct line line;
    unsigned rows = 0;

    read_headline(text, &total, unit);
    while (next_line(&rest, &line)) {
        if (!row_of(line.text, &part, row_unit))
            continue;
        assert_string_equal(unit, row_unit);
        sum += part;
        rows++;
    }
    if (sum != total || (rows == 0 && total))
        fail_msg("%lu hundredths in %u rows, but the headline says %lu:\n%s", sum, rows, total,
                 text);
}

static void the_first_screen(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = text_of(&e, plain);

    assert_string_equal(
        text, "python3 4242 · glibc 2.36 · web.service 1.90 of 2.00 GiB, 102 MiB to the limit\n"
              "\n"
              "RSS 1883 MiB: 1136 MiB was freed by the program; 1044 MiB can go back now.\n"
              "  in use              610 MiB  ████████████▉\n"
              "  freed, returnable  1044 MiB  ██████████████████████▏\n"
              "  freed, in caches      3 MiB\n"
              "  freed, pinned        89 MiB  █▉\n"
              "  files and shared    118 MiB  ██▌\n"
              "  program data          1 MiB\n"
              "  unexplained          18 MiB  ▍\n"
              "\n"
              "why:  freeing a large block raised the threshold\n"
              "help: residue reclaim 4242 would return 900 MiB; malloc_trim(0) would return\n"
              "      600 MiB of RSS but free only 7 MiB (the rest is shared with forks, or part\n"
              "      of huge pages)\n"
              "help: MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072\n"
              "      in the environment at start keeps large blocks in mappings of their own,\n"
              "      which free() gives back; programs that allocate and free large blocks all\n"
              "      the time can become many times slower, so measure yours; residue keep\n"
              "      --thresholds does it without a restart, and takes it back where it costs\n"
              "      too much\n"
              "help: in all, residue reclaim 4242 would return 1044 MiB; malloc_trim(0) would\n"
              "      return 612 MiB\n"
              "note: not in RSS: 12 MiB in swap\n"
              "note: nothing was changed; the process was paused for 4 ms\n");
    adds_up(text);
    explanation_free(&e);
}

static void quiet_is_the_headline(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = text_of(&e, (struct report_style){.quiet = true});

    assert_string_equal(
        text, "RSS 1883 MiB: 1136 MiB was freed by the program; 1044 MiB can go back now.\n");
    explanation_free(&e);
}

static void what_cannot_be_told_is_not_told(void **state)
{
    struct explanation e = opaque_explanation();
    auto_free char *text = text_of(&e, plain);

    has(text, "redis-server 7 · allocator not recognised\n");
    has(text, "RSS 100 MiB: how much of it the program has freed cannot be told.\n");
    lacks(text, "help:");
    adds_up(text);
    e.allocator = "glibc";
    check(&e, plain, "glibc (not decoded)");
    e.ledger.bytes[ACCOUNT_ZERO_HUGE] = 10 * MIB;
    check(&e, (struct report_style){.width = 200},
          "cannot be told, 10 MiB holds only zeros; 10 MiB can go back now.");
}

static void nothing_resident(void **state)
{
    struct explanation e = {.comm = "idle", .pid = 9, .rss.swap_bytes = MIB};
    auto_free char *text = text_of(&e, plain);

    has(text, "RSS 0 B: nothing of this process is in memory now.\n");
    has(text, "not in RSS: 1024 KiB in swap");
    adds_up(text);
}

static void doubts_are_in_the_headline(void **state)
{
    struct explanation e = typical_explanation();

    add_refusal(&e, "arena 3", "its chunks contradict each other");
    check(&e, plain, "at least 1136 MiB was freed");
    check(&e, plain, "refusal: arena 3: its chunks contradict each other\n");
    e.stopped = false;
    e.pauses = (struct target_pauses){0};
    e.moved_bytes = 12 * KIB;
    check(&e, plain, "about 1136 MiB was freed");
    check(&e, (struct report_style){.width = 200},
          "note: nothing was changed; the process was not paused: these are figures of a moving "
          "process, whose RSS "
          "moved by 12 KiB meanwhile\n");
    for (size_t i = ACCOUNT_HEAP_RETURNABLE; i <= ACCOUNT_HEAP_PINNED; i++)
        e.ledger.bytes[i] = 0;
    check(&e, plain, "the program has freed none of it, as far as can be told.");
    explanation_free(&e);
}

static void a_sum_that_is_off_is_told(void **state)
{
    struct explanation e = typical_explanation();

    e.rss.rss_bytes += 100 * MIB;
    check(&e, (struct report_style){.width = 100},
          "note: the parts add up to 1883 MiB, while the kernel's figure is 1983 MiB\n");
    explanation_free(&e);
}

static void several_pauses_are_told_apart(void **state)
{
    struct explanation e = typical_explanation();

    e.pauses = (struct target_pauses){.count = 3, .total_ns = 9000000, .longest_ns = 4000000};
    check(&e, (struct report_style){.width = 100},
          "the process was paused 3 times, for 9 ms in all and 4 ms at most\n");
    explanation_free(&e);
}

static void zeros_in_live_blocks_are_counted_once(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    e.heap_live_zero_bytes = 110 * MIB;
    e.ledger.bytes[ACCOUNT_ZERO_HUGE] = 20 * MIB;
    balance(&e);
    text = text_of(&e, plain);
    has(text, "  in use              500 MiB");
    has(text, "  pages of zeros      130 MiB");
    has(text, "130 MiB holds only zeros;\n1174 MiB can go back now.");
    adds_up(text);
    explanation_free(&e);
}

static void owners_of_unexplained_memory_have_rows(void **state)
{
    struct explanation e = opaque_explanation();
    auto_free char *text = NULL;

    add_owner(&e, "jemalloc", "5.3.0", 60 * MIB);
    add_owner(&e, "V8", "", 30 * MIB);
    add_owner(&e, "nobody", "", 0);
    add_owner(&e, "greedy", "", UINT64_MAX); /* more than is left */
    text = text_of(&e, plain);
    has(text, "  unexplained: jemalloc 5.3.0  60 MiB");
    has(text, "  unexplained: V8              30 MiB");
    has(text, "  unexplained: greedy           6 MiB");
    lacks(text, "nobody");
    adds_up(text);
    e.unexplained_by.count = 0;
    for (unsigned i = 0; i < 90; i++) { /* more than the table has rows */
        char name[16];

        snprintf(name, sizeof name, "crowd %u", i);
        add_owner(&e, name, "", MIB);
    }
    free(text);
    text = text_of(&e, plain);
    has(text, "  unexplained           89 MiB");
    adds_up(text);
    explanation_free(&e);
}

static void hostile_names_command_nothing(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    snprintf(e.comm, sizeof e.comm, "\x1b[2\n\xff\xc2\x9bu\xe2\x80\xae");
    snprintf(e.cgroup.path, sizeof e.cgroup.path, "/a/\x1b]0;x\x07\n");
    add_owner(&e, "\x1b[31m", "\r", 2 * MIB);
    add_refusal(&e, "a\nb", "\x1b[0m\xf0");
    add_finding(&e, "new", MIB, "one\ntwo\x01three\xfe");
    text = text_of(&e, plain);
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c >= ' ' || *c == '\n');
    has(text, "\\x1b[2\\x0a\\xff\\xc2\\x9bu\\xe2\\x80\\xae 4242 · ");
    has(text, " · \\x1b]0;x\\x07\\x0a 1.90");
    has(text, "unexplained: \\x1b[31m \\x0d");
    has(text, "a\\x0ab: \\x1b[0m\\xf0");
    has(text, "one\\x0atwo\\x01three\\xfe");
    adds_up(text);
    explanation_free(&e);
}

static void names_are_cut_where_they_are_endless(void **state)
{
    struct explanation e = typical_explanation();

    memset(e.cgroup.path, 'x', sizeof e.cgroup.path - 1);
    check(&e, (struct report_style){.width = 200},
          " - xxxxxxxxxxxxxxxxxxxxxxxxxxxxx... 1.90 of 2.00 GiB, 102 MiB to the limit\n");
    explanation_free(&e);
}

static void colour_only_where_it_is_wanted(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *without = text_of(&e, plain), *with = NULL;
    size_t at = 0, length;
    struct line line;

    lacks(without, "\x1b");
    with = text_of(&e, (struct report_style){.utf8 = true, .color = true});
    has(with, "\x1b[1mRSS 1883 MiB");
    assert_int_equal(with[0], 'p');
    /* Colour changes nothing but colour, and is off again at the end of every line. */
    for (size_t i = 0; i < (length = strlen(with)); i++) {
        if (with[i] == '\x1b') {
            i += strcspn(with + i, "m");
            continue;
        }
        assert_int_equal(with[i], without[at++]);
    }
    assert_int_equal(without[at], '\0');
    for (const char *rest = with; next_line(&rest, &line);)
        assert_true(!strrchr(line.text, '\x1b') ||
                    strncmp(strrchr(line.text, '\x1b'), "\x1b[0m", 4) == 0);
    explanation_free(&e);
}

static void ascii_terminals_get_ascii(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    snprintf(e.comm, sizeof e.comm, "größe");
    text = text_of(&e, (struct report_style){0});
    for (const char *c = text; *c; c++)
        assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
    has(text, "gr\\xc3\\xb6\\xc3\\x9fe 4242 - glibc 2.36 - web.service");
    has(text, "1044 MiB  ######################\n");
    explanation_free(&e);
}

static void lines_keep_to_the_width(void **state)
{
    struct explanation e = typical_explanation();

    add_owner(&e, "a rather long name of an allocator that nobody knows", "1.2.3.4", 9 * MIB);
    add_refusal(&e, "arena 3",
                "its chunks contradict each other in more than one way, and so on, and on, and on");
    for (unsigned width = 70; width < 130; width++) {
        auto_free char *text = text_of(&e, (struct report_style){.utf8 = true, .width = width});
        const char *rest = text;
        struct line line;

        while (next_line(&rest, &line))
            if (utf8_columns(line.text) > width)
                fail_msg("%zu columns instead of %u: %s", utf8_columns(line.text), width,
                         line.text);
        adds_up(text);
    }
    explanation_free(&e);
}

/* No line begins with a unit. */
static void figures_stay_with_their_units(void **state)
{
    static const char *const units[] = {"B", "KiB", "MiB", "ms"};
    struct explanation e = typical_explanation();

    add_finding(
        &e, "new", MIB,
        "a figure of 1044 MiB, of 12 KiB; then 4 ms and 1136 MiB (which is 1136 MiB) or 7 B");
    for (unsigned width = 1; width < 130; width++) {
        auto_free char *text = text_of(&e, (struct report_style){.utf8 = true, .width = width});
        const char *rest = text;
        struct line line;

        while (next_line(&rest, &line)) {
            const char *word = line.text + strspn(line.text, " ");

            for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
                assert_false(strncmp(word, units[i], strlen(units[i])) == 0);
        }
    }
    explanation_free(&e);
}

static void advice_fits_the_finding(void **state)
{
    struct explanation e = opaque_explanation();
    auto_free char *text = NULL;

    e.decoded = true;
    add_finding(&e, "glibc-free-inside-arenas", MIB, "31 arenas");
    add_finding(&e, "glibc-arena-tops", MIB, "tops");
    for (unsigned i = 0; i < 2; i++)
        add_arena(&e, (struct heap_arena){0}, (struct arena_tally){0});
    check_lacks(&e, plain, "MALLOC_ARENA_MAX");
    add_arena(&e, (struct heap_arena){0}, (struct arena_tally){0});
    text = text_of(&e, plain);
    has(text, "help: MALLOC_ARENA_MAX=2\n");
    lacks(strstr(text, "MALLOC_ARENA_MAX=2") + 1, "MALLOC_ARENA_MAX=2"); /* told once */
    e.settings.arena_max = 2;
    check_lacks(&e, plain, "MALLOC_ARENA_MAX");
    add_finding(&e, "huge-pages-of-zeros", MIB, "zeros");
    check_lacks(&e, plain, "max_ptes_none");
    e.thp = (struct thp_settings){.khugepaged_known = true, .max_ptes_none = 511};
    check(&e, plain,
          "help: echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none\n");
    explanation_free(&e);
}

static void the_total_is_told_once(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    e.findings.items[0].cures[0].rss_bytes =
        e.ledger.bytes[ACCOUNT_HEAP_RETURNABLE] - 4096; /* reads the same */
    text = text_of(&e, plain);
    lacks(text, "in all,");
    e.findings.count = 0;
    check(&e, plain,
          "help: in all, residue reclaim 4242 would return 1044 MiB; malloc_trim(0) would\n");
    e.tally.arenas[0].in_bins.shared_bytes = 1044 * MIB;
    check(&e, (struct report_style){.width = 200},
          "would return 1044 MiB of RSS but free only 0 B (the rest");
    e.trim.charge_bytes = 0;
    check(&e, (struct report_style){.width = 300},
          "would return 612 MiB of RSS but free only 0 B\n");
    e.ledger.bytes[ACCOUNT_HEAP_RETURNABLE] = MIB;
    check_lacks(&e, plain, "help:");
    explanation_free(&e);
}

static void many_refusals_are_counted(void **state)
{
    struct explanation e = opaque_explanation();
    auto_free char *text = NULL;

    for (unsigned i = 0; i < 1007; i++)
        add_refusal(&e, "arena", "contradicts itself");
    text = text_of(&e, plain);
    has(text, "refusal: 1,000 more; --json lists them all\n");
    explanation_free(&e);
}

static void cgroups_in_the_title(void **state)
{
    struct explanation e = typical_explanation();

    e.cgroup.room_known = false; /* it is an ancestor's that cannot be seen */
    check(&e, plain, " · web.service 1.90 of 2.00 GiB\n");
    e.cgroup.limit_bytes = CGROUP_NO_LIMIT;
    check(&e, plain, " · web.service 1946 MiB\n");
    snprintf(e.cgroup.path, sizeof e.cgroup.path, "/");
    check(&e, plain, " · cgroup / 1946 MiB\n");
    e.container = strdup("0123456789ab");
    check(&e, plain, " · container 0123456789ab 1946 MiB\n");
    e.cgroup.charge_known = false;
    check(&e, plain, " · container 0123456789ab\n");
    free(e.container);
    e.container = strdup("2227daf62df6694645fee5df53c1f91271546a9560e8600a525690ae252b7f63");
    check(&e, plain, " · container 2227daf62df6\n");
    explanation_free(&e);
}

static void any_ledger_adds_up(void **state)
{
    uint64_t seed = 1;

    for (unsigned round = 0; round < 3000; round++) {
        struct explanation e = opaque_explanation();
        auto_free char *text = NULL;

        e.decoded = round % 2;
        for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            e.ledger.bytes[i] = seed % 5 == 0 ? 0 : seed >> (8 + (seed >> 40) % 50);
        }
        e.heap_live_zero_bytes = e.ledger.bytes[ACCOUNT_HEAP_LIVE] / (1 + round % 3);
        add_owner(&e, "jemalloc", "5", e.ledger.bytes[ACCOUNT_UNEXPLAINED] / 3);
        balance(&e);
        text = text_of(&e, (struct report_style){.width = 40 + round % 100});
        adds_up(text);
        explanation_free(&e);
    }
}

static void impossible_numbers_do_no_harm(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        e.ledger.bytes[i] = UINT64_MAX - i;
    e.heap_live_zero_bytes = e.lazyfree_bytes = e.rss.swap_bytes = UINT64_MAX;
    e.trim.rss_bytes = e.cgroup.charge_bytes = e.pauses.total_ns = UINT64_MAX;
    text = text_of(&e, plain);
    adds_up(text);
    explanation_free(&e);
}

static void a_full_disk_is_told(void **state)
{
    struct explanation e = opaque_explanation();
    auto_fclose FILE *full = fopen("/dev/full", "w");

    assert_non_null(full);
    assert_int_equal(report_why_text(&e, full, plain), -EIO);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_screen),
        cmocka_unit_test(quiet_is_the_headline),
        cmocka_unit_test(what_cannot_be_told_is_not_told),
        cmocka_unit_test(nothing_resident),
        cmocka_unit_test(doubts_are_in_the_headline),
        cmocka_unit_test(a_sum_that_is_off_is_told),
        cmocka_unit_test(several_pauses_are_told_apart),
        cmocka_unit_test(zeros_in_live_blocks_are_counted_once),
        cmocka_unit_test(owners_of_unexplained_memory_have_rows),
        cmocka_unit_test(hostile_names_command_nothing),
        cmocka_unit_test(names_are_cut_where_they_are_endless),
        cmocka_unit_test(colour_only_where_it_is_wanted),
        cmocka_unit_test(ascii_terminals_get_ascii),
        cmocka_unit_test(lines_keep_to_the_width),
        cmocka_unit_test(figures_stay_with_their_units),
        cmocka_unit_test(advice_fits_the_finding),
        cmocka_unit_test(the_total_is_told_once),
        cmocka_unit_test(many_refusals_are_counted),
        cmocka_unit_test(cgroups_in_the_title),
        cmocka_unit_test(any_ledger_adds_up),
        cmocka_unit_test(impossible_numbers_do_no_harm),
        cmocka_unit_test(a_full_disk_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
