#include "procfs/sharing.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

int kernel_compare_memory(pid_t a, pid_t b)
{
    long r = syscall(SYS_kcmp, a, b, KCMP_VM, 0UL, 0UL);

    return r < 0 ? -errno : (int)r;
}

/* Merge sort: a comparison that fails now and then must cost an order, not more. */
static void merge(pid_t *pids, pid_t *room, size_t count, compare_memory *compare)
{
    size_t half = count / 2, left = 0, right = half;

    if (count < 2)
        return;
    merge(pids, room, half, compare);
    merge(pids + half, room, count - half, compare);
    for (size_t i = 0; i < count; i++) {
        int r = left == half ? 2 : right == count ? 1 : compare(pids[left], pids[right]);

        room[i] = r == 2 ? pids[right++] : pids[left++];
    }
    memcpy(pids, room, count * sizeof *pids);
}

static size_t index_of(const pid_t *pids, size_t count, pid_t pid)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (pids[middle] < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Stable, so that the lowest id of each memory comes first. */
int processes_sharing(const pid_t *pids, size_t count, compare_memory *compare, pid_t *ret_same)
{
    auto_free pid_t *sorted = malloc((count + 1) * sizeof *sorted);
    auto_free pid_t *room = malloc((count + 1) * sizeof *room);
    pid_t first = 0;

    if (!sorted || !room)
        return -ENOMEM;
    memcpy(sorted, pids, count * sizeof *pids);
    merge(sorted, room, count, compare);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare(sorted[i - 1], sorted[i]) != 0)
            first = sorted[i];
        ret_same[index_of(pids, count, sorted[i])] = first;
    }
    return 0;
}
