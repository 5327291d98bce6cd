#include "cure/discard.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cure/points.h"
#include "inject/inject.h"
#include "target/tracer.h"

/* Instead of a descriptor: one's own thread group (Linux 6.14; this value since 6.16). */
#define PIDFD_SELF ((uint64_t)-10001)

enum { VECTOR_MOST = 1024 }; /* UIO_MAXIOV */

/* Whether many ranges can be given back by one call on ourselves: since 6.13 for this advice. */
static bool takes_vectors(void)
{
    static int known = -1;
    struct iovec vector = {NULL, PAGE_BYTES};

    if (known >= 0)
        return known;
    vector.iov_base =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vector.iov_base == MAP_FAILED)
        return false;
    known =
        syscall(SYS_process_madvise, PIDFD_SELF, &vector, 1, MADV_DONTNEED, 0) == (long)PAGE_BYTES;
    munmap(vector.iov_base, PAGE_BYTES);
    return known;
}

static int check_guarded(const struct target *target, struct why *why)
{
    if (tracer_is_guarded(target->tracer))
        return 0;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "no process could be made here that holds process %d if residue is killed",
                   (int)target->pid);
}

int discard_check(struct target *target, const struct maps *maps, struct why *why)
{
    struct injection *injection;
    int r = check_guarded(target, why);

    if (r == 0)
        r = injection_open(&injection, target, maps, why);
    if (r)
        return r;
    injection_close(injection);
    return 0;
}

static int failed(const struct remote_call *call, struct why *why)
{
    return why_set(why, (int)call->result, "the process' own madvise(2) failed: %s",
                   strerror((int)-call->result));
}

static bool is_error(const struct remote_call *call)
{
    return call->result < 0 && call->result > -4096;
}

/* One call for up to VECTOR_MOST ranges. */
static int discard_vector(struct injection *injection, const struct range *ranges, size_t count,
                          struct why *why)
{
    struct iovec vector[VECTOR_MOST];
    struct remote_call call = {.number = SYS_process_madvise};
    int r;

    for (size_t i = 0; i < count; i++)
        vector[i] = (struct iovec){(void *)(uintptr_t)ranges[i].start, range_length(ranges[i])};
    call.arguments[0] = PIDFD_SELF;
    call.arguments[1] = injection_data_at(injection, 1, count * sizeof *vector);
    call.arguments[2] = count;
    call.arguments[3] = MADV_DONTNEED;
    r = injection_call(injection, &call, 1, vector, count * sizeof *vector, why);
    return r == 0 && is_error(&call) ? failed(&call, why) : r;
}

/* A call a range. */
static int discard_singly(struct injection *injection, const struct range *ranges, size_t count,
                          struct why *why)
{
    struct remote_call calls[INJECTION_CALLS_MOST];
    int r;

    for (size_t i = 0; i < count; i++)
        calls[i] = (struct remote_call){
            .number = SYS_madvise,
            .arguments = {ranges[i].start, range_length(ranges[i]), MADV_DONTNEED}};
    r = injection_call(injection, calls, count, NULL, 0, why);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (is_error(&calls[i]))
            r = failed(&calls[i], why);
    return r;
}

static int discard_by(struct injection *injection, const struct range *ranges, size_t count,
                      struct why *why)
{
    bool vectors = takes_vectors();
    size_t most = vectors ? VECTOR_MOST : INJECTION_CALLS_MOST;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i += most) {
        size_t some = count - i < most ? count - i : most;

        cure_point();
        r = vectors ? discard_vector(injection, ranges + i, some, why)
                    : discard_singly(injection, ranges + i, some, why);
    }
    return r;
}

int discard_ranges(struct target *target, const struct maps *maps, const struct range *ranges,
                   size_t count, struct why *why)
{
    struct injection *injection;
    int r = check_guarded(target, why);

    if (r || count == 0)
        return r;
    r = injection_open(&injection, target, maps, why);
    if (r)
        return r;
    r = discard_by(injection, ranges, count, why);
    injection_close(injection);
    return r;
}
