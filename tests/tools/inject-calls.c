/*
 * Has a process make system calls that change nothing in the end, and checks what they return.
 *
 * usage: inject-calls PID [ROUNDS] [alone|guarded] [FILE]
 *
 * guarded: held by a process that outlives this one. FILE: of a chaos-victim with buffers, of which
 * those that are not in use are discarded instead.
 *
 * Prints "rounds made refused put-off requests", and the last refusal. Ends with 1 when a call did
 * not return what it has to. See src/inject/wire.h for how to have it killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../victims/chaos/chaos.h"
#include "base/clock.h"
#include "inject/inject.h"
#include "inject/wire.h"

static struct procfs procfs;
static struct why why;
static pid_t pid;

static int expect(const struct remote_call *call, int64_t result)
{
    if (call->made && call->result == result)
        return 0;
    return why_set(&why, -EPROTO, "call %ld returned %ld, not %ld", call->number,
                   (long)call->result, (long)result);
}

/* A mapping that is there between two chains, at most. */
static int map_and_unmap(struct injection *injection)
{
    struct remote_call map = {
        .number = SYS_mmap,
        .arguments = {0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0}};
    struct remote_call rest[] = {{.number = SYS_madvise, .arguments = {0, 8192, MADV_DONTNEED}},
                                 {.number = SYS_munmap, .arguments = {0, 8192}}};
    int r = injection_call(injection, &map, 1, NULL, 0, &why);

    if (r)
        return r;
    if (map.result < 0 && map.result > -4096)
        return why_set(&why, -EPROTO, "mmap returned %ld", (long)map.result);
    rest[0].arguments[0] = rest[1].arguments[0] = (uint64_t)map.result;
    r = injection_call(injection, rest, 2, NULL, 0, &why);
    r = r ? r : expect(&rest[0], 0);
    return r ? r : expect(&rest[1], 0);
}

static int make_calls(struct injection *injection)
{
    char data[100] = "data";
    struct remote_call calls[] = {{.number = SYS_getpid},
                                  {.number = SYS_prctl, .arguments = {PR_GET_DUMPABLE}},
                                  {.number = SYS_rt_sigprocmask, .arguments = {0, 0, 0, 8}},
                                  {.number = SYS_close, .arguments = {~0ULL}}};
    int r;

    calls[2].arguments[2] = injection_data_at(injection, 4, sizeof data);
    r = injection_call(injection, calls, 4, data, sizeof data, &why);
    r = r ? r : expect(&calls[0], pid);
    r = r ? r : expect(&calls[2], 0);
    r = r ? r : expect(&calls[3], -EBADF);
    return r ? r : map_and_unmap(injection);
}

static struct shared *buffers; /* of the victim; or NULL */

static int discard_unused(struct injection *injection)
{
    struct remote_call calls[INJECTION_CALLS_MOST];
    size_t count = 0;

    for (unsigned i = 0; i < BUFFERS && count < INJECTION_CALLS_MOST; i++)
        if (!buffers->used[i])
            calls[count++] =
                (struct remote_call){.number = SYS_madvise,
                                     .arguments = {buffers->buffers + (uint64_t)i * BUFFER_BYTES,
                                                   BUFFER_BYTES, MADV_DONTNEED}};
    return count ? injection_call(injection, calls, count, NULL, 0, &why) : 0;
}

static void map_buffers(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *buffers, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        perror(path);
        exit(66);
    }
    buffers = map;
}

static int round_on(struct target *target)
{
    struct injection *injection = NULL;
    struct maps maps = {0};
    int r = target_stop(target, &why);

    if (r)
        return r;
    r = maps_read(&procfs, pid, &maps, &why);
    if (r == 0)
        r = injection_open(&injection, target, &maps, &why);
    if (r == 0)
        r = buffers ? discard_unused(injection) : make_calls(injection);
    injection_close(injection);
    maps_free(&maps);
    target_resume(target);
    return r;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1, made = 0, refused = 0,
                  put_off = 0;
    struct target target;
    char last[sizeof why.text] = "";
    int r;

    pid = argc > 1 ? atoi(argv[1]) : 0;
    if (procfs_open(&procfs, "/", &why) || target_open(&target, &procfs, pid, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 66;
    }
    target.guarded = argc > 3 && strcmp(argv[3], "guarded") == 0;
    if (argc > 4)
        map_buffers(argv[4]);
    for (unsigned long i = 0; i < rounds; i++) {
        r = round_on(&target);
        made += r == 0;
        refused += r > 0;
        put_off += r == -EAGAIN || r == -ETIMEDOUT;
        if (r)
            memcpy(last, why.text, sizeof last);
        if (r < 0 && r != -EAGAIN && r != -ETIMEDOUT) {
            fprintf(stderr, "%s\n", why.text);
            return 1;
        }
        if (rounds > 1)
            clock_sleep_ns(NS_PER_MS / 4);
    }
    printf("%lu %lu %lu %lu %lu\n%s\n", rounds, made, refused, put_off, wire_count(), last);
    target_close(&target);
    return 0;
}
