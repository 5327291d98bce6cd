/* Remote addresses and half-open ranges of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* An address in the target. An integer, so that it can never be dereferenced here by mistake. */
typedef uint64_t remote_addr;

#undef PAGE_SHIFT /* sys/user.h has a macro of that name */
enum { PAGE_SHIFT = 12 };
#define PAGE_BYTES UINT64_C(4096) /* x86-64; other page sizes are refused at start */
#define HUGE_BYTES (UINT64_C(2) << 20)

struct range {
    remote_addr start, end; /* [start, end) */
};

static inline uint64_t range_length(struct range r)
{
    return r.end - r.start;
}

static inline bool range_has(struct range r, remote_addr address)
{
    return address >= r.start && address < r.end;
}

/* Whether [address, address + length) lies wholly inside; safe against overflow. */
static inline bool range_holds(struct range r, remote_addr address, uint64_t length)
{
    return address >= r.start && address <= r.end && length <= r.end - address;
}

static inline bool ranges_overlap(struct range a, struct range b)
{
    return a.start < b.end && b.start < a.end;
}

static inline uint64_t align_down(uint64_t value, uint64_t to)
{
    return value & ~(to - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}
