#include "procfs/test-pages-support.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/vector.h"

void require(bool condition)
{
    if (!condition)
        _exit(1);
}

void touch(volatile char *at)
{
    (void)*at;
}

static struct plan *plan_make(void)
{
    struct plan *plan =
        mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(plan != MAP_FAILED);
    snprintf(plan->path, sizeof plan->path, "/tmp/residue-pages-%d", getpid());
    return plan;
}

int world_setup(struct world *world, void (*make)(void *context))
{
    struct why why = {""};

    world->plan = plan_make();
    victim_start(&world->victim, make, world->plan);
    if (page_source_open(real_root(), world->victim.pid, &world->source, &why) < 0)
        fail_msg("%s", why.text);
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;

    page_source_close(&world->source);
    victim_kill(&world->victim);
    munmap(world->plan, sizeof *world->plan);
    return 0;
}

void runs_push(struct runs *runs, struct page_run run)
{
    assert_int_equal(vector_push(runs, run), 0);
}

struct runs runs_collect(const struct page_source *source, struct range range, unsigned want)
{
    struct page_cursor cursor;
    struct page_run run;
    struct runs runs = {0};
    struct why why = {""};
    int r;

    pages_begin(&cursor, source, range, want);
    while ((r = pages_next(&cursor, &run, &why)) > 0) {
        const struct page_run *last = runs.count ? &runs.items[runs.count - 1] : NULL;

        assert_true(run.flags != 0 && run.range.start < run.range.end);
        assert_true((run.range.start | run.range.end) % PAGE_BYTES == 0);
        assert_true(run.range.start >= range.start && run.range.end <= range.end);
        if (last) {
            assert_true(last->range.end <= run.range.start);
            assert_true(last->range.end < run.range.start ||
                        last->flags != run.flags); /* maximal */
        }
        runs_push(&runs, run);
    }
    if (r < 0)
        fail_msg("%s", why.text);
    return runs;
}

void assert_same_runs(struct runs a, struct runs b)
{
    for (size_t i = 0; i < a.count && i < b.count; i++)
        if (a.items[i].range.start != b.items[i].range.start ||
            a.items[i].range.end != b.items[i].range.end || a.items[i].flags != b.items[i].flags)
            fail_msg("run %zu: %lx-%lx %02x, but %lx-%lx %02x", i, a.items[i].range.start,
                     a.items[i].range.end, a.items[i].flags, b.items[i].range.start,
                     b.items[i].range.end, b.items[i].flags);
    assert_int_equal(a.count, b.count);
}

uint64_t resident_bytes(struct runs runs)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < runs.count; i++)
        if (page_is_resident(runs.items[i].flags))
            bytes += range_length(runs.items[i].range);
    return bytes;
}

struct page_source without_scan(const struct page_source *source)
{
    struct page_source other = *source;

    other.has_scan = false;
    return other;
}

struct range pages_at(const char *at, size_t count)
{
    return (struct range){(uintptr_t)at, (uintptr_t)at + count * PAGE_BYTES};
}
