/* What is written down before a process is changed: it is read again as it was written, or not
 * believed. */
#include "cure/keep-state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "procfs/test-cmocka.h"
#include "procfs/test-support.h"

#define BOOT_ID "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e5f"

static char parent[64], path[128];
static int directory;
static struct why why;

static const struct keep_state typical = {
    .pid = 4242,
    .identity = {.boot_id = BOOT_ID, .start_ticks = 987654, .known = true},
    .parameters = 0x7f0000001000,
    .changes = {{KEEP_HUGE_PAGES, KEEP_HUGE_ALLOWED, KEEP_HUGE_OFF},
                {KEEP_MMAP_MAX, 65536, 30000},
                {KEEP_TRIM_THRESHOLD, 64 << 20, 128 << 10},
                {KEEP_MMAP_THRESHOLD, 32 << 20, 128 << 10},
                {KEEP_STATIC, 0, 1}},
    .count = KEEP_SETTINGS};

static int setup(void **state)
{
    strcpy(parent, "/tmp/residue-keep-XXXXXX");
    assert_non_null(mkdtemp(parent));
    assert_int_equal(keep_directory_open_in(parent, &directory, &why), 0);
    snprintf(path, sizeof path, "keep-4242-987654-" BOOT_ID ".json");
    return 0;
}

static int teardown(void **state)
{
    char command[100];

    close(directory);
    snprintf(command, sizeof command, "rm -rf %s", parent);
    return system(command);
}

static int load(struct keep_state *ret)
{
    return keep_state_load(directory, typical.pid, &typical.identity, ret, &why);
}

static void write_file(const char *name, const char *text, size_t length)
{
    auto_close int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
}

static size_t read_file(char text[4096])
{
    auto_close int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, 4095);

    assert_true(length > 0);
    text[length] = '\0';
    return (size_t)length;
}

static bool has(const char *name)
{
    return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void save(const struct keep_state *keep)
{
    if (keep_state_save(directory, keep, &why))
        fail_msg("%s", why.text);
}

static void it_is_read_as_it_was_written(void **state)
{
    struct keep_state found;

    assert_int_equal(load(&found), OUTCOME_NOT_FOUND);
    save(&typical);
    save(&typical); /* in its place */
    assert_int_equal(load(&found), 0);
    assert_int_equal(found.count, typical.count);
    for (size_t i = 0; i < typical.count; i++) {
        assert_int_equal(found.changes[i].setting, typical.changes[i].setting);
        assert_int_equal(found.changes[i].before, typical.changes[i].before);
        assert_int_equal(found.changes[i].after, typical.changes[i].after);
    }
    assert_int_equal(found.parameters, typical.parameters);
    assert_int_equal(keep_state_remove(directory, &typical, &why), 0);
    assert_int_equal(load(&found), OUTCOME_NOT_FOUND);
    assert_int_equal(keep_state_remove(directory, &typical, &why), 0);
}

static void a_draft_that_was_left_is_replaced(void **state)
{
    struct keep_state found;
    char draft[200];

    snprintf(draft, sizeof draft, "%s.new", path);
    assert_int_equal(symlinkat("/etc/passwd", directory, draft), 0);
    save(&typical);
    assert_int_equal(load(&found), 0);
    assert_false(has(draft));
}

static void each_setting_is_there_once(void **state)
{
    struct keep_state keep = {0};

    keep_state_put(&keep, (struct keep_change){KEEP_STATIC, 0, 1});
    keep_state_put(&keep, (struct keep_change){KEEP_HUGE_PAGES, 0, 1});
    keep_state_put(&keep, (struct keep_change){KEEP_MMAP_MAX, 5, 4});
    keep_state_put(&keep, (struct keep_change){KEEP_MMAP_MAX, 5, 3});
    assert_int_equal(keep.count, 3);
    assert_int_equal(keep.changes[0].setting, KEEP_HUGE_PAGES);
    assert_int_equal(keep.changes[1].after, 3);
    assert_int_equal(keep.changes[2].setting, KEEP_STATIC);
    assert_null(keep_state_find(&keep, KEEP_TRIM_THRESHOLD));
}

static void what_is_cut_short_is_not_believed(void **state)
{
    struct keep_state found = {.pid = 1};
    char text[4096];
    size_t length;

    save(&typical);
    length = read_file(text);
    while (length-- > 0) {
        write_file(path, text, length);
        assert_int_equal(load(&found), OUTCOME_NOT_POSSIBLE);
    }
    assert_int_equal(found.pid, 1);
}

/* Bytes changed in each place: what is still believed is within bounds. */
static void what_is_corrupt_is_bounded(void **state)
{
    static const char bytes[] = "09-e\"{[,x";
    struct keep_state found;
    char text[4096], changed[4096];
    size_t length;

    save(&typical);
    length = read_file(text);
    for (size_t at = 0; at < length; at++)
        for (size_t i = 0; i < sizeof bytes; i++) {
            memcpy(changed, text, length);
            changed[at] = bytes[i];
            write_file(path, changed, length);
            if (load(&found))
                continue;
            assert_true(found.count <= KEEP_SETTINGS);
            for (size_t c = 0; c < found.count; c++) {
                assert_true(found.changes[c].setting < KEEP_SETTINGS);
                assert_true(found.changes[c].before <= 64 << 20);
            }
        }
}

static void replace(char *text, const char *what, const char *with)
{
    char *at = strstr(text, what), rest[4096];

    if (!at)
        fail_msg("%s is not in %s", what, text);
    strcpy(rest, at + strlen(what));
    strcpy(at, with);
    strcat(at, rest);
}

static void hostile_values_are_not_believed(void **state)
{
    static const char *const cases[][2] = {
        {"\"before\": 33554432", "\"before\": 33554433"},
        {"\"before\": 67108864", "\"before\": 67108865"},
        {"\"before\": 65536", "\"before\": 4294967296"},
        {"\"before\": 65536", "\"before\": -1"},
        {"\"before\": 65536", "\"before\": \"65536\""},
        {"\"before\": 65536", "\"before\": 1e30"},
        {"mmap_max", "mmap_threshold"}, /* twice */
        {"mmap_max", "errno"},
        {"\"after\": 1\n", "\"after\": 2\n"},
        {"\"pid\": 4242", "\"pid\": 0"},
        {"\"pid\": 4242", "\"pid\": 4242, \"pid\": 4242"},
        {"\"pid\": 4242", "\"pid\": 4243"},
        {"\"start_ticks\": 987654", "\"start_ticks\": 987655"},
        {BOOT_ID, "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e50"},
        {BOOT_ID, BOOT_ID BOOT_ID},
        {"keep-state/1", "keep-state/2"},
        {"\"pid\"", "\"more\": 1, \"pid\""},
    };
    struct keep_state found;
    char text[4096];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        save(&typical);
        read_file(text);
        replace(text, cases[i][0], cases[i][1]);
        write_file(path, text, strlen(text));
        if (load(&found) != OUTCOME_NOT_POSSIBLE)
            fail_msg("\"%s\" is believed", cases[i][1]);
        assert_non_null(strstr(why.text, path));
    }
}

static void long_files_are_not_believed(void **state)
{
    auto_free char *text = malloc(20000);
    struct keep_state found;
    size_t length;

    save(&typical);
    length = read_file(text);
    memset(text + length, ' ', 20000 - length);
    write_file(path, text, 20000);
    assert_int_equal(load(&found), OUTCOME_NOT_POSSIBLE);
}

static void only_own_files_are_believed(void **state)
{
    struct keep_state found;

    save(&typical);
    assert_int_equal(fchmodat(directory, path, 0620, 0), 0);
    assert_int_equal(load(&found), OUTCOME_NOT_POSSIBLE);
    assert_int_equal(fchmodat(directory, path, 0600, 0), 0);
    assert_int_equal(load(&found), 0);
    if (is_root()) {
        assert_int_equal(fchownat(directory, path, 65534, 65534, 0), 0);
        assert_int_equal(load(&found), OUTCOME_NOT_POSSIBLE);
    }
    assert_int_equal(renameat(directory, path, directory, "aside"), 0);
    assert_int_equal(symlinkat("aside", directory, path), 0);
    assert_true(load(&found) < 0);
    assert_int_equal(unlinkat(directory, path, 0), 0);
    assert_int_equal(mkfifoat(directory, path, 0600), 0);
    assert_int_equal(load(&found), OUTCOME_NOT_POSSIBLE);
}

static void only_an_own_directory_is_used(void **state)
{
    char full[100], other[100];
    int fd = -1;

    snprintf(full, sizeof full, "%s/residue", parent);
    snprintf(other, sizeof other, "%s/other", parent);
    assert_int_equal(chmod(full, 0755), 0);
    assert_int_equal(keep_directory_open_in(parent, &fd, &why), -EACCES);
    assert_int_equal(chmod(full, 0700), 0);
    if (is_root()) {
        assert_int_equal(chown(full, 65534, 65534), 0);
        assert_int_equal(keep_directory_open_in(parent, &fd, &why), -EACCES);
        assert_int_equal(chown(full, 0, 0), 0);
    }
    assert_int_equal(rename(full, other), 0);
    assert_int_equal(symlink(other, full), 0);
    assert_true(keep_directory_open_in(parent, &fd, &why) < 0);
    assert_int_equal(unlink(full), 0);
    assert_int_equal(rename(other, full), 0);
    assert_int_equal(keep_directory_open_in(parent, &fd, &why), 0);
    close(fd);
}

/* This process itself is the one that there is. */
static void files_of_processes_that_are_gone_go(void **state)
{
    static const char *const kept[] = {"keep-1-x-" BOOT_ID ".json", "keep-5-6-" BOOT_ID ".json.old",
                                       "notes", "keep-0005-6-" BOOT_ID ".json"};
    struct keep_state mine = typical, earlier, rebooted, found;

    mine.pid = getpid();
    process_identity_read(real_root(), mine.pid, &mine.identity);
    earlier = rebooted = mine;
    earlier.identity.start_ticks++; /* another process that had this id */
    strcpy(rebooted.identity.boot_id, BOOT_ID);
    save(&mine);
    save(&earlier);
    save(&rebooted);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        write_file(kept[i], "", 0);
    write_file("keep-5-6-" BOOT_ID ".json.new", "", 0);
    keep_directory_sweep(directory, real_root());
    assert_int_equal(keep_state_load(directory, mine.pid, &mine.identity, &found, &why), 0);
    assert_int_equal(keep_state_load(directory, mine.pid, &earlier.identity, &found, &why),
                     OUTCOME_NOT_FOUND);
    assert_int_equal(keep_state_load(directory, mine.pid, &rebooted.identity, &found, &why),
                     OUTCOME_NOT_FOUND);
    assert_false(has("keep-5-6-" BOOT_ID ".json.new"));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_true(has(kept[i]));
}

#define state_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        state_test(it_is_read_as_it_was_written),  state_test(a_draft_that_was_left_is_replaced),
        state_test(each_setting_is_there_once),    state_test(what_is_cut_short_is_not_believed),
        state_test(what_is_corrupt_is_bounded),    state_test(hostile_values_are_not_believed),
        state_test(long_files_are_not_believed),   state_test(only_own_files_are_believed),
        state_test(only_an_own_directory_is_used), state_test(files_of_processes_that_are_gone_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
