#include "cure/keep-thresholds.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/format.h"
#include "cure/keep-points.h"
#include "heap/glibc/layout.h"
#include "inject/wire.h"

enum { ATTEMPTS = 60, MAP_COUNT_DEFAULT = 65530 };
#define FIRST_WAIT_NS   (NS_PER_MS / 5)
#define LONGEST_WAIT_NS (20 * NS_PER_MS)

struct values {
    struct heap_setting_places places;
    struct heap_settings settings;
    size_t mappings; /* of the process */
};

/* Opens the heap in a stop, when no thread is changing it. */
static int open_quiet_heap(struct look *look, struct why *why)
{
    int r = look_at_mappings(look, why);

    look->lists_later = true;
    if (r == 0)
        r = look_open_heap(look, false, why);
    look->lists_later = false;
    if (r)
        return r;
    if (look->heap)
        return look_heap_settled(look, why);
    if (look->out->refusals.count)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "the heap cannot be read: %s",
                       look->out->refusals.items[0].reason.text);
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "no heap of glibc's malloc was found in process %d: other allocators have other "
                   "thresholds, or none",
                   (int)look->pid);
}

static void resume(struct look *look)
{
    target_resume(&look->target);
    look_close_heap(look);
}

static int stop(struct look *look, struct values *ret, struct why *why)
{
    int r = target_stop(&look->target, why);

    if (r)
        return r;
    r = open_quiet_heap(look, why);
    if (r == 0 && !look->heap->places.mmap_threshold)
        r = why_set(why, OUTCOME_NOT_POSSIBLE,
                    "where the thresholds of this allocator are is not "
                    "known");
    if (r) {
        resume(look);
        return r;
    }
    *ret = (struct values){look->heap->places, look->heap->settings, look->maps.count};
    return 0;
}

static int stop_well(struct look *look, struct values *ret, struct why *why)
{
    uint64_t wait = FIRST_WAIT_NS;
    int r = OUTCOME_TORN;

    /* -EBUSY: perhaps by what outlives one of us that was killed, for a moment. */
    for (unsigned i = 0; i < ATTEMPTS && (r == OUTCOME_TORN || r == -ETIMEDOUT || r == -EBUSY);
         i++) {
        if (i) {
            clock_sleep_ns(wait);
            wait = wait * 3 / 2 < LONGEST_WAIT_NS ? wait * 3 / 2 : LONGEST_WAIT_NS;
        }
        r = stop(look, ret, why);
    }
    return r;
}

/* Who made it static has had a reason. */
static int check_static(const struct values *values, struct why *why)
{
    const struct heap_settings *s = &values->settings;

    if (s->mmap_threshold <= DEFAULT_THRESHOLD && s->trim_threshold <= DEFAULT_THRESHOLD)
        return 0;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "the program or its environment has set them already (mmap_threshold is %s, "
                   "trim_threshold %s), and that is left; residue why tells who",
                   format_bytes(s->mmap_threshold).text, format_bytes(s->trim_threshold).text);
}

/*
 * Each mapped block is a mapping of the process, of which the kernel allows so many in all
 * (vm.max_map_count): malloc's own default is more than that. Half of what is left is left to
 * others.
 */
static uint64_t mmap_max_for(const struct look *look, const struct values *values)
{
    unsigned long most = 0;
    uint64_t now = values->settings.mmapped_count, room, limit;

    if (procfs_read_u64(look->procfs, &most, "proc/sys/vm/max_map_count") < 0 || most > INT_MAX)
        most = MAP_COUNT_DEFAULT;
    room = most > values->mappings ? (most - values->mappings) / 2 : 0;
    limit = now + room;
    return limit < values->settings.mmap_max ? limit : values->settings.mmap_max;
}

static void add(struct keep_state *state, enum keep_setting setting, uint64_t before,
                uint64_t after)
{
    keep_state_put(state, (struct keep_change){setting, before, after});
}

static int plan(const struct look *look, const struct values *values, struct keep_state *ret,
                struct why *why)
{
    const struct heap_settings *s = &values->settings;

    if (s->hp_pagesize)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "the program was started with glibc.malloc.hugetlb=2: each mapped block "
                       "would take whole huge pages");
    if (!s->dynamic_threshold)
        return check_static(values, why);
    add(ret, KEEP_MMAP_MAX, s->mmap_max, mmap_max_for(look, values));
    add(ret, KEEP_TRIM_THRESHOLD, s->trim_threshold, DEFAULT_THRESHOLD);
    add(ret, KEEP_MMAP_THRESHOLD, s->mmap_threshold, DEFAULT_THRESHOLD);
    add(ret, KEEP_STATIC, 0, 1);
    ret->parameters = values->places.trim_threshold;
    return 0;
}

int keep_thresholds_plan(struct look *look, struct keep_state *ret, struct why *why)
{
    struct values values;
    int r = look_at_mappings(look, why); /* images are opened and read before the stop */

    if (r == 0)
        r = stop_well(look, &values, why);
    if (r)
        return r;
    r = plan(look, &values, ret, why);
    resume(look);
    return r;
}

struct variable {
    remote_addr address;
    size_t bytes;
};

static struct variable variable_of(const struct heap_setting_places *places,
                                   enum keep_setting setting)
{
    switch (setting) {
    case KEEP_MMAP_MAX:
        return (struct variable){places->mmap_max, sizeof(int)};
    case KEEP_TRIM_THRESHOLD:
        return (struct variable){places->trim_threshold, sizeof(uint64_t)};
    case KEEP_MMAP_THRESHOLD:
        return (struct variable){places->mmap_threshold, sizeof(uint64_t)};
    case KEEP_STATIC:
        return (struct variable){places->static_thresholds, sizeof(int)};
    case KEEP_HUGE_PAGES:
    case KEEP_SETTINGS:
        break;
    }
    return (struct variable){0, 0};
}

/* x86-64 is little-endian: the low bytes are the int. */
static int read_variable(struct look *look, struct variable variable, uint64_t *ret,
                         struct why *why)
{
    uint64_t value = 0;
    int r = memory_read(&look->target.memory.memory, variable.address, &value, variable.bytes, why);

    if (r == 0)
        *ret = value;
    return r;
}

struct setting_job {
    struct look *look;
    const struct keep_state *changes;
    struct heap_setting_places places;
    bool undo;
    enum keep_done *done;
    struct why *why;
};

static int set_one(struct setting_job *job, const struct keep_change *change)
{
    struct variable variable = variable_of(&job->places, change->setting);
    uint64_t from = job->undo ? change->after : change->before;
    uint64_t to = job->undo ? change->before : change->after, now;
    bool writes;
    int r;

    if (!variable.bytes)
        return 0;
    r = read_variable(job->look, variable, &now, job->why);
    writes = r == 0 && now == from && from != to;
    if (writes) {
        keep_point();
        r = wire_write(&job->look->target, variable.address, &to, variable.bytes);
        if (r)
            return why_set(job->why, r, "writing to process %d: %s", (int)job->look->pid,
                           strerror(-r));
        r = read_variable(job->look, variable, &now, job->why);
    }
    if (r == 0 && now == to)
        job->done[change->setting] = writes ? KEEP_WRITTEN : KEEP_ALREADY;
    return r;
}

/* Each is what it was when this was planned, or set already. Else free() has raised them since, and
 * to make them static would pin what it raised them to. */
static int is_as_planned(struct setting_job *job, bool *ret)
{
    const struct keep_state *changes = job->changes;
    int r = 0;

    *ret = true;
    for (size_t i = 0; r == 0 && i < changes->count; i++) {
        const struct keep_change *change = &changes->changes[i];
        struct variable variable = variable_of(&job->places, change->setting);
        uint64_t now;

        if (!variable.bytes)
            continue;
        r = read_variable(job->look, variable, &now, job->why);
        *ret &= r == 0 && (now == change->before || now == change->after);
    }
    return r;
}

/* On the thread that traces. Undone in the opposite order: each state on the way was one before. */
static int set_all(void *context)
{
    struct setting_job *job = context;
    const struct keep_state *changes = job->changes;
    bool planned = true;
    int r = job->undo ? 0 : is_as_planned(job, &planned);

    if (r || !planned)
        return r;
    for (size_t i = 0; r == 0 && i < changes->count; i++)
        r = set_one(job, &changes->changes[job->undo ? changes->count - 1 - i : i]);
    keep_point();
    return r;
}

int keep_thresholds_set(struct look *look, const struct keep_state *changes, bool undo,
                        enum keep_done ret_done[KEEP_SETTINGS],
                        struct heap_setting_places *ret_places, struct why *why)
{
    struct values values;
    struct setting_job job = {
        .look = look, .changes = changes, .undo = undo, .done = ret_done, .why = why};
    int r = stop_well(look, &values, why);

    if (r)
        return r;
    job.places = *ret_places = values.places;
    if (values.places.trim_threshold != changes->parameters)
        r = why_set(why, OUTCOME_TORN,
                    "process %d runs another program than the one whose settings were changed",
                    (int)look->pid);
    if (r == 0)
        r = target_on_tracer(&look->target, set_all, &job);
    resume(look);
    return r;
}

int keep_thresholds_hold(struct look *look, const struct keep_state *changes,
                         const struct heap_setting_places *places, bool *ret, struct why *why)
{
    bool hold = true;

    for (size_t i = 0; i < changes->count; i++) {
        const struct keep_change *change = &changes->changes[i];
        struct variable variable = variable_of(places, change->setting);
        uint64_t now = change->after;
        int r = variable.bytes ? read_variable(look, variable, &now, why) : 0;

        if (r)
            return r;
        hold &= now == change->after;
    }
    *ret = hold;
    return 0;
}
