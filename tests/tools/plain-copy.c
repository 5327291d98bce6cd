/*
 * usage: plain-copy PID THREADS [STEP]
 *
 * The yardstick for a walk: reads every resident byte of the process' private anonymous memory with
 * process_vm_readv, and looks at none. With STEP it is the one for what a stop reads: 32 bytes, an
 * element of the vector each, every STEP bytes. Prints "BYTES NANOSECONDS"; the time is of the
 * copying alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/vector.h"
#include "procfs/maps.h"
#include "procfs/pages.h"

enum { MOST_THREADS = 64, PIECE_BYTES = 256 * 1024, NODE_BYTES = 32, VECTOR_MOST = 1024 };

struct pieces {
    struct range *items;
    size_t count, capacity;
};

static pid_t pid;
static uint64_t step; /* 0: everything */
static struct pieces pieces;
static atomic_size_t next;
static atomic_int failure;

static int add_run(struct range run)
{
    int r = 0;

    uint64_t most = step ? PIECE_BYTES * (uint64_t)VECTOR_MOST : PIECE_BYTES;

    for (; r == 0 && run.start < run.end; run.start += most) {
        struct range piece = {run.start, run.start + most < run.end ? run.start + most : run.end};

        r = vector_push(&pieces, piece);
    }
    return r;
}

static int add_mapping(const struct page_source *source, struct range range, struct why *why)
{
    struct page_cursor cursor;
    struct page_run run;
    int r;

    pages_begin(&cursor, source, range, PAGES_PLAIN);
    while ((r = pages_next(&cursor, &run, why)) > 0)
        if (page_is_resident(run.flags) && (r = add_run(run.range)) != 0)
            return r;
    return r;
}

static int list_pieces(const struct procfs *procfs, struct why *why)
{
    struct page_source source;
    struct maps maps;
    int r = maps_read(procfs, pid, &maps, why);

    if (r)
        return r;
    r = page_source_open(procfs, pid, &source, why);
    for (size_t i = 0; r == 0 && i < maps.count; i++)
        if (vma_is_anonymous(&maps.items[i]) && maps.items[i].readable)
            r = add_mapping(&source, maps.items[i].range, why);
    page_source_close(&source);
    maps_free(&maps);
    return r;
}

/* From `at` on within the piece, and on through the pieces: so many nodes, or what is left. */
static size_t list_nodes(struct iovec *nodes, const struct range *piece, uint64_t *at)
{
    size_t count = 0;

    for (; count < VECTOR_MOST && *at + NODE_BYTES <= piece->end; *at += step)
        nodes[count++] = (struct iovec){(void *)(uintptr_t)*at, NODE_BYTES};
    return count;
}

static void copy_nodes(const struct range *piece, char *buffer)
{
    struct iovec nodes[VECTOR_MOST];
    uint64_t at = piece->start;
    size_t count;

    while ((count = list_nodes(nodes, piece, &at)) != 0) {
        struct iovec local = {buffer, count * NODE_BYTES};

        if (process_vm_readv(pid, &local, 1, nodes, count, 0) != (ssize_t)local.iov_len)
            atomic_store(&failure, errno ? errno : EIO);
    }
}

static void *copy_step(void *argument)
{
    size_t i;

    while ((i = atomic_fetch_add(&next, 1)) < pieces.count)
        copy_nodes(&pieces.items[i], argument);
    return NULL;
}

static void *copy(void *argument)
{
    char *buffer = argument;
    size_t i;

    while ((i = atomic_fetch_add(&next, 1)) < pieces.count) {
        struct iovec remote = {(void *)pieces.items[i].start, range_length(pieces.items[i])};
        struct iovec local = {buffer, remote.iov_len};

        if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)remote.iov_len)
            atomic_store(&failure, errno ? errno : EIO);
    }
    return NULL;
}

static uint64_t copy_all(unsigned count)
{
    static char buffers[MOST_THREADS][PIECE_BYTES];
    pthread_t threads[MOST_THREADS];
    uint64_t begun;

    memset(buffers, 1, (size_t)count * PIECE_BYTES);
    begun = clock_now_ns();
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, step ? copy_step : copy, buffers[i]) != 0)
            abort();
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return clock_now_ns() - begun;
}

int main(int argc, char **argv)
{
    unsigned threads = argc == 3 || argc == 4 ? (unsigned)atoi(argv[2]) : 0;
    struct procfs procfs;
    struct why why = {0};
    uint64_t bytes = 0, ns;

    if (threads < 1 || threads > MOST_THREADS)
        return 64;
    pid = atoi(argv[1]);
    step = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    if (procfs_open(&procfs, "/", &why) || list_pieces(&procfs, &why)) {
        fprintf(stderr, "plain-copy: %s\n", why.text);
        return 69;
    }
    ns = copy_all(threads);
    for (size_t i = 0; i < pieces.count; i++)
        bytes += range_length(pieces.items[i]);
    if (failure) {
        fprintf(stderr, "plain-copy: %s\n", strerror(failure));
        return 69;
    }
    printf("%" PRIu64 " %" PRIu64 "\n", bytes, ns);
    return 0;
}
