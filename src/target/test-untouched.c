/*
 * Stopping a process, reading all that is present in it and letting it go leaves no trace: not in
 * its page tables, its resident set, or what it shares with its forks.
 */
#include "test-victim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/prctl.h>

#include "base/cleanup.h"

enum { BIG_PAGES = 64 << 8, SMALL_PAGES = 1024 };
static const size_t big_bytes = BIG_PAGES * PAGE_BYTES, small_bytes = SMALL_PAGES * PAGE_BYTES;

enum area {
    SHARED_WITH_FORK, /* 64 MiB written to before the fork */
    HALF_OWN,         /* half of it written to again after the fork */
    SPARSE,
    ZERO_PAGES,
    HIDDEN,
    GUARDED,
    SHMEM,
    PRIVATE_FILE,
    AREAS,
};

static size_t area_bytes(enum area area)
{
    return area == SHARED_WITH_FORK ? big_bytes : small_bytes;
}

/* Valid in the victim and its fork. */
static uint8_t *area_of(enum area area)
{
    return (uint8_t *)(uintptr_t)shared->addresses[area];
}

/* With a hole on both sides, so that no area is part of another's mapping. */
static void map_area(enum area area, int flags, int fd)
{
    uint8_t *room = mmap(NULL, area_bytes(area) + 2 * PAGE_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *mapped =
        mmap(room + PAGE_BYTES, area_bytes(area), PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);

    if (room == MAP_FAILED || mapped == MAP_FAILED)
        _exit(1);
    munmap(room, PAGE_BYTES);
    munmap(room + PAGE_BYTES + area_bytes(area), PAGE_BYTES);
    shared->addresses[area] = (uintptr_t)mapped;
}

static void map_areas(void)
{
    char path[] = "/tmp/residue-test-untouched-XXXXXX";
    int fd = mkstemp(path);

    unlink(path);
    if (ftruncate(fd, (off_t)small_bytes) < 0)
        _exit(1);
    for (int area = 0; area < SHMEM; area++)
        map_area(area, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    map_area(SHMEM, MAP_SHARED | MAP_ANONYMOUS, -1);
    map_area(PRIVATE_FILE, MAP_PRIVATE, fd);
    close(fd);
}

static void touch_areas(void)
{
    for (size_t i = 0; i < BIG_PAGES; i++)
        memset(area_of(SHARED_WITH_FORK) + i * PAGE_BYTES, (int)(i % 255) + 1, PAGE_BYTES);
    memset(area_of(HALF_OWN), 3, small_bytes);
    memset(area_of(HIDDEN), 4, small_bytes);
    for (size_t at = 0; at < small_bytes; at += 3 * PAGE_BYTES) {
        area_of(SPARSE)[at] = 5;
        *(volatile uint8_t *)(area_of(ZERO_PAGES) + at);
        *(volatile uint8_t *)(area_of(PRIVATE_FILE) + at);
        area_of(SHMEM)[at] = 6;
        area_of(GUARDED)[at] = 7;
    }
    area_of(PRIVATE_FILE)[0] = 8;
    mprotect(area_of(HIDDEN), small_bytes, PROT_NONE);
    madvise(area_of(GUARDED) + PAGE_BYTES, PAGE_BYTES, 102 /* MADV_GUARD_INSTALL */);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void have_memory_and_a_fork(void)
{
    pid_t pid;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    map_areas();
    touch_areas();
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        shared->counters[0] = 1;
        wait_for_ever();
    }
    shared->pid = pid;
    memset(area_of(HALF_OWN), 9, small_bytes / 2);
    shared->ready = 1;
    wait_for_ever();
}

static void execute(void)
{
    victim_execute("victim");
}

/*
 * What must not change, as the kernel tells it. Not in it: Referenced, which reading does change,
 * and the share of files that other processes on this machine may map and unmap at any time.
 */
struct observation {
    char rollup[2048], status[256], areas[AREAS][2048];
    uint64_t *entries; /* raw pagemap of the areas */
    size_t count;
};

static FILE *open_text(pid_t pid, const char *name)
{
    char path[64];
    FILE *stream;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    stream = fopen(path, "re");
    assert_non_null(stream);
    return stream;
}

static bool starts_with_any(const char *line, const char *const *names)
{
    while (*names && strncmp(line, *names, strlen(*names)) != 0)
        names++;
    return *names != NULL;
}

static void keep_lines(char *ret, size_t size, pid_t pid, const char *name,
                       const char *const *wanted)
{
    FILE *stream = open_text(pid, name);
    char line[256];
    size_t length = 0;

    while (fgets(line, sizeof line, stream))
        if (starts_with_any(line, wanted) && length < size)
            length += (size_t)snprintf(ret + length, size - length, "%s", line);
    fclose(stream);
    assert_true(length > 0 && length < size);
}

/* All of an area's entry in smaps except Referenced. */
static void keep_area(char *ret, size_t size, pid_t pid, remote_addr address)
{
    FILE *stream = open_text(pid, "smaps");
    char line[256], start[32];
    size_t length = 0;
    bool inside = false;

    snprintf(start, sizeof start, "%" PRIx64 "-", address);
    while (fgets(line, sizeof line, stream)) {
        if (strchr("0123456789abcdef", line[0]))
            inside = strncmp(line, start, strlen(start)) == 0;
        if (inside && strncmp(line, "Referenced", 10) != 0 && length < size)
            length += (size_t)snprintf(ret + length, size - length, "%s", line);
    }
    fclose(stream);
    assert_true(length > 0 && length < size);
}

static void keep_entries(struct observation *seen, int fd, enum area area)
{
    size_t size = area_bytes(area) / PAGE_BYTES * sizeof(uint64_t);
    off_t at = (off_t)(shared->addresses[area] / PAGE_BYTES * sizeof(uint64_t));

    seen->entries = realloc(seen->entries, seen->count * sizeof(uint64_t) + size);
    assert_non_null(seen->entries);
    assert_int_equal(pread(fd, seen->entries + seen->count, size, at), size);
    seen->count += size / sizeof(uint64_t);
}

static void observe(struct observation *ret, pid_t pid)
{
    static const char *const rollup[] = {"Rss",          "Pss_Anon",      "Pss_Shmem", "Pss_Dirty",
                                         "Shared_Dirty", "Private_Dirty", "Anonymous", "AnonHuge",
                                         "Swap",         "LazyFree",      "Locked",    NULL};
    static const char *const status[] = {"VmPTE", "VmSwap", "VmRSS", "Rss", NULL};
    auto_close int fd = -1;
    char path[64];

    *ret = (struct observation){.count = 0};
    keep_lines(ret->rollup, sizeof ret->rollup, pid, "smaps_rollup", rollup);
    keep_lines(ret->status, sizeof ret->status, pid, "status", status);
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int area = 0; area < AREAS; area++) {
        keep_area(ret->areas[area], sizeof ret->areas[area], pid, shared->addresses[area]);
        keep_entries(ret, fd, area);
    }
}

static void assert_unchanged(const struct observation *before, pid_t pid)
{
    struct observation after;

    observe(&after, pid);
    assert_string_equal(after.rollup, before->rollup);
    assert_string_equal(after.status, before->status);
    for (int area = 0; area < AREAS; area++)
        assert_string_equal(after.areas[area], before->areas[area]);
    assert_int_equal(after.count, before->count);
    for (size_t i = 0; i < after.count; i++)
        if (after.entries[i] != before->entries[i])
            fail_msg("page %zu: 0x%" PRIx64 ", was 0x%" PRIx64, i, after.entries[i],
                     before->entries[i]);
    free(after.entries);
}

/* As a reader of content would, in pieces. */
static void read_range(struct memory *memory, struct range range)
{
    enum { PIECE = 512 };
    static uint8_t flags[PIECE], buffer[PIECE * PAGE_BYTES];

    for (remote_addr at = range.start; at < range.end; at += PIECE * PAGE_BYTES) {
        uint64_t pages = (range.end - at) / PAGE_BYTES;
        size_t count = pages < PIECE ? pages : PIECE;

        assert_done(memory_page_flags(memory, at, count, flags, &why));
        assert_done(memory_read_pages(memory, at, count, flags, buffer, &why));
    }
}

/* Returns the resident bytes. With sanitizers, mappings are terabytes large and almost empty. */
static uint64_t read_everything(const struct maps *maps)
{
    struct page_cursor cursor;
    uint64_t resident = 0;
    struct page_run run;
    int r;

    for (size_t i = 0; i < maps->count; i++) {
        if (maps->items[i].range.start >> 63) /* vsyscall */
            continue;
        if (range_length(maps->items[i].range) < 64 * HUGE_BYTES)
            read_range(&target.memory.memory,
                       maps->items[i].range); /* all of it, absent pages too */
        pages_begin(&cursor, &target.pages, maps->items[i].range, PAGES_PLAIN);
        while ((r = pages_next(&cursor, &run, &why)) > 0) {
            read_range(&target.memory.memory, run.range);
            resident += page_is_resident(run.flags) ? range_length(run.range) : 0;
        }
        assert_done(r);
    }
    return resident;
}

static void assert_content(struct memory *memory)
{
    uint8_t byte;

    for (size_t i = 0; i < BIG_PAGES; i += 97) {
        assert_done(memory_read(memory, shared->addresses[SHARED_WITH_FORK] + i * PAGE_BYTES + 11,
                                &byte, 1, &why));
        assert_int_equal(byte, i % 255 + 1);
    }
    assert_done(memory_read(memory, shared->addresses[HALF_OWN], &byte, 1, &why));
    assert_int_equal(byte, 9);
    assert_done(memory_read(memory, shared->addresses[HALF_OWN] + small_bytes - 1, &byte, 1, &why));
    assert_int_equal(byte, 3);
}

static void look_at_all_of(pid_t pid)
{
    uint64_t resident;
    struct maps maps;

    assert_done(target_open(&target, &procfs, pid, &why));
    assert_done(victim_stop());
    assert_done(maps_read(&procfs, pid, &maps, &why));
    resident = read_everything(&maps);
    assert_true(resident >= big_bytes);
    maps_free(&maps);
    target_close(&target);
}

static void leaves_no_trace(void **state)
{
    struct observation victim, its_fork;
    pid_t pid;

    pid = victim_start(execute);
    while (!shared->counters[0])
        clock_sleep_ns(NS_PER_MS);
    assert_true(wait_for_state(shared->pid, "S"));
    assert_true(wait_for_state(pid, "S"));
    observe(&victim, pid);
    observe(&its_fork, shared->pid);
    look_at_all_of(pid);
    assert_unchanged(&victim, pid);
    assert_unchanged(&its_fork, shared->pid);
    look_at_all_of(shared->pid);
    assert_unchanged(&victim, pid);
    assert_unchanged(&its_fork, shared->pid);
    assert_done(target_open(&target, &procfs, pid, &why));
    assert_content(&target.memory.memory);
    free(victim.entries);
    free(its_fork.entries);
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {victim_test(leaves_no_trace)};

    if (victims_attach(argc, argv, "victim"))
        have_memory_and_a_fork();

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
