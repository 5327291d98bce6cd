#include "cure/keep-huge-pages.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "cure/keep-points.h"
#include "inject/inject.h"

#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1) /* Linux 6.18 */
#endif

/* A thread that sleeps for a while has to be met between two sleeps: see inject/inject.h. */
enum { ATTEMPTS = 40 };
#define FIRST_WAIT_NS   (NS_PER_MS / 5)
#define LONGEST_WAIT_NS (20 * NS_PER_MS)

struct request {
    struct target *target;
    struct injection *injection;
    bool sets;
    uint64_t from, to;
    uint64_t found; /* out: before anything was set */
    struct why *why;
};

static struct remote_call get_call(void)
{
    return (struct remote_call){.number = SYS_prctl, .arguments = {PR_GET_THP_DISABLE}};
}

/* Arguments as prctl(2) has them: whether, and how. */
static struct remote_call set_call(uint64_t value)
{
    return (struct remote_call){
        .number = SYS_prctl,
        .arguments = {PR_SET_THP_DISABLE, value != KEEP_HUGE_ALLOWED,
                      value == KEEP_HUGE_ADVISED ? PR_THP_DISABLE_EXCEPT_ADVISED : 0}};
}

static int check_value(const struct request *request, const struct remote_call *call)
{
    int64_t value = call->result;

    if (value == KEEP_HUGE_ALLOWED || value == KEEP_HUGE_OFF || value == KEEP_HUGE_ADVISED)
        return 0;
    return why_set(request->why, OUTCOME_NOT_POSSIBLE,
                   "process %d: prctl(PR_GET_THP_DISABLE) returned %lld, which is not understood",
                   (int)request->target->pid, (long long)value);
}

static int look(struct request *request)
{
    struct remote_call get = get_call();
    int r = injection_call(request->injection, &get, 1, NULL, 0, request->why);

    if (r == 0)
        r = check_value(request, &get);
    if (r == 0)
        request->found = (uint64_t)get.result;
    return r;
}

static int set(const struct request *request)
{
    struct remote_call calls[] = {set_call(request->to), get_call()};
    int r;

    if (request->found != request->from)
        return why_set(request->why, OUTCOME_TORN,
                       "process %d: somebody else has changed whether it may have huge pages",
                       (int)request->target->pid);
    keep_point();
    r = injection_call(request->injection, calls, 2, NULL, 0, request->why);
    keep_point();
    if (r)
        return r;
    if (calls[0].result || calls[1].result != (int64_t)request->to)
        return why_set(request->why, OUTCOME_NOT_POSSIBLE,
                       "process %d: prctl(PR_SET_THP_DISABLE) returned %lld, and %lld is set",
                       (int)request->target->pid, (long long)calls[0].result,
                       (long long)calls[1].result);
    return 0;
}

static int attempt(struct request *request)
{
    struct target *target = request->target;
    struct maps maps = {0};
    int r = target_stop(target, request->why);

    if (r)
        return r;
    r = maps_read(target->procfs, target->pid, &maps, request->why);
    if (r == 0)
        r = injection_open(&request->injection, target, &maps, request->why);
    if (r == 0)
        r = look(request);
    if (r == 0 && request->sets)
        r = set(request);
    injection_close(request->injection);
    request->injection = NULL;
    maps_free(&maps);
    target_resume(target);
    return r;
}

/* -EBUSY: perhaps by what outlives one of us that was killed, for a moment. */
static bool is_passing(int error)
{
    return error == -EAGAIN || error == -ETIMEDOUT || error == -EBUSY ||
           error == OUTCOME_NOT_POSSIBLE;
}

static int make(struct request *request)
{
    uint64_t wait = FIRST_WAIT_NS;
    int r = -EAGAIN;

    for (unsigned i = 0; i < ATTEMPTS && is_passing(r); i++) {
        if (i) {
            clock_sleep_ns(wait);
            wait = wait * 3 / 2 < LONGEST_WAIT_NS ? wait * 3 / 2 : LONGEST_WAIT_NS;
        }
        r = attempt(request);
    }
    return r;
}

int keep_huge_pages_read(struct target *target, uint64_t *ret, struct why *why)
{
    struct request request = {.target = target, .why = why};
    int r = make(&request);

    if (r == 0)
        *ret = request.found;
    return r;
}

/* The kernel shows in status whether they are all off; whether but for those asked for, it does
 * not.
 */
static int verify(const struct target *target, uint64_t value, struct why *why)
{
    struct process_status status;
    int r = status_read(target->procfs, target->pid, &status, why);

    if (r || status.thp_enabled < 0 || status.thp_enabled == (value != KEEP_HUGE_OFF))
        return r;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "process %d: whether it may have huge pages was set, but /proc/%d/status tells "
                   "otherwise (THP_enabled: %d)",
                   (int)target->pid, (int)target->pid, status.thp_enabled);
}

int keep_huge_pages_set(struct target *target, uint64_t from, uint64_t to, struct why *why)
{
    struct request request = {.target = target, .sets = true, .from = from, .to = to, .why = why};
    int r = make(&request);

    return r ? r : verify(target, to, why);
}

bool keep_huge_pages_can_leave_advised(void)
{
    int before = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
    bool can;

    if (before < 0)
        return false;
    can = prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0) == 0;
    if (can && prctl(PR_SET_THP_DISABLE, before != 0, before & ~1, 0, 0))
        return false;
    return can;
}
