#!/usr/bin/env python3
"""Every block that a victim holds is found live, with the right size, and nothing else is live but what libc holds."""
import os
import subprocess
from collections import Counter

import kernel
import tap
from victims import HUGE_GLIBCS, HUGE_TUNABLE, MMAPPED_LIKE_OTHERS, STATICS, Victim, for_each_heap, for_each_setting

HEADER = 16   # from a chunk's address to the user's
RESIZES = 3 * 4 * 60   # at most, in "remapped"
LIST_CHUNKS = os.environ["LIST_CHUNKS"]

# What libc itself takes from these heaps: for each thread it starts a vector of thread-local storage (dtv), of 16 bytes
# for each of 2 modules, 14 to spare, and 2 at the front. 16 bytes more where a free chunk was not worth a split. With one
# module less in a static program.
DTV = {0x120, 0x130, 0x140}
THREADS = {"quiet": 6, "threads-few-survivors": 25, "small-fastbins": 2, "tops": 4, "arena-multi-heap": 1,
           "fork-shared": 1, "caches": 3, "remapped": 2, "memalign": 2, "shrunk": 2, "brk-blocked": 4, "namespaces": 2, "fork-orphans": 6}
# Blocks and bytes that ld.so allocates to load a C library into another namespace, and a static program to load anything.
LOADED = {"namespaces": (60, 32768)}
STATIC_LOADED = (12, 4096)
# What heap-victim takes by sbrk between two pieces of the heap, where it shows as memory of nobody.
FOREIGN = {"foreign-sbrk": 2 * (16 + 5008 + 48 + 4096 + 100 * 1024 + 16)}
# The same where brk was refused later: it lies between two regions.
BETWEEN = {"brk-at-times": 5008}


def list_chunks(pid):
    """[(address, bytes, state, mmapped)], ascending, and [bytes] of the mapping of each mmapped chunk."""
    listing = subprocess.run([LIST_CHUNKS, str(pid)], capture_output=True, text=True, timeout=120, check=False)
    assert listing.returncode == 0, listing.stderr + listing.stdout[-500:]
    chunks, mappings = [], []
    for line in listing.stdout.splitlines():
        kind, *words = line.split()
        assert kind != "refusal", line
        if kind == "chunk":
            chunks.append((int(words[0], 16), int(words[1]), words[2], words[3] == "1"))
        elif words[2] == "mmapped":
            mappings.append(int(words[1], 16) - int(words[0], 16))
    return sorted(chunks), mappings


def check_order(chunks):
    for (address, size, state, _), (following, *_) in zip(chunks, chunks[1:]):
        assert address + size <= following, f"{state} chunk {address:#x} of {size} reaches into {following:#x}"


def mmapped_overhead(glibc):
    """What an mmapped chunk has beside the block: it cannot borrow the next one's first word, and since 2.43 it is built
    like the others, with the missing word at its end."""
    return 24 if glibc.split()[0] in MMAPPED_LIKE_OTHERS else 16


def check_block(address, requested, usable, by_address, glibc):
    chunk = by_address.get(address - HEADER)
    assert chunk, f"block {address:#x} of {requested} bytes has no chunk"
    _, size, state, mmapped = chunk
    assert state == "live", f"block {address:#x} of {requested} bytes is told to be {state}"
    assert size >= requested + 8, f"block {address:#x} of {requested} bytes has a chunk of {size}"
    tap.equal(f"usable size of {address:#x} ({'mmapped' if mmapped else 'arena'})", usable,
              size - (mmapped_overhead(glibc) if mmapped else 8))


def check_others(victim, others):
    """Live chunks that the victim knows nothing of."""
    sizes = Counter(size for _, size, _, _ in others)
    text = ", ".join(f"{count} of {size:#x}" for size, count in sorted(sizes.items()))
    tap.note(f"live but not the victim's own: {text or 'none'}")
    most, most_bytes = STATIC_LOADED if victim.glibc in STATICS else LOADED.get(victim.heap, (0, 0))
    loaded = sum(count for size, count in sizes.items() if size not in DTV)
    assert loaded <= most and sum(size * count for size, count in sizes.items() if size not in DTV) <= most_bytes, text
    assert len(others) - loaded <= THREADS.get(victim.heap, 0) + most, text


def check_mapped_bytes(victim, found, told):
    """Since 2.43 malloc counts 16 bytes too many for each realloc that changes a mapping."""
    drift = told - found
    if victim.heap == "remapped" and victim.glibc in MMAPPED_LIKE_OTHERS:
        assert drift, "nothing was remapped"
    assert drift == 0 or victim.heap == "remapped" and victim.glibc in MMAPPED_LIKE_OTHERS \
        and 0 < drift <= 16 * RESIZES and drift % 16 == 0, f"{found} bytes of mappings were found, malloc tells {told}"


def check_sums(victim, chunks, mappings):
    info = victim.info()
    listed = sum(size for _, size, _, mmapped in chunks if not mmapped)
    if victim.heap == "namespaces":   # mallinfo knows of one copy of malloc only
        assert info["hblks"] < len(mappings) and info["arena"] < listed, info
        return
    tap.equal("mmapped chunks", len(mappings), info["hblks"])
    check_mapped_bytes(victim, sum(mappings), info["hblkhd"])
    # Until 2.33 the loader takes memory for a copy of GLIBC_TUNABLES from the break, so that the heap begins unaligned.
    lost = info["arena"] - BETWEEN.get(victim.heap, 0) - listed
    assert lost == 0 or "GLIBC_TUNABLES" in victim.environment and 0 < lost < 16, f"{lost} bytes of arenas were not listed"


def check(victim):
    blocks = victim.blocks()
    chunks, mappings = list_chunks(victim.pid)
    check_order(chunks)
    check_large_caches(victim, chunks)
    check_sums(victim, chunks, mappings)
    by_address = {chunk[0]: chunk for chunk in chunks}
    for block in blocks:
        check_block(*block, by_address, victim.glibc)
    owned = {address - HEADER for address, _, _ in blocks}
    check_others(victim, [chunk for chunk in chunks if chunk[2] == "live" and chunk[0] not in owned])
    states = Counter(state for _, _, state, _ in chunks)
    tap.note(f"{len(blocks)} blocks; " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    tap.equal("bytes of nobody", sum(size for _, size, state, _ in chunks if state == "unknown"),
              FOREIGN.get(victim.heap, 0))
    # A thread's cache, its arena's head, and heads of further heaps; twice where there are two mallocs.
    copies = 2 if victim.heap == "namespaces" else 1
    more = 32 if "hugetlb=2" in victim.environment.get("GLIBC_TUNABLES", "") else 3   # their heaps are of 8 MiB
    assert states["metadata"] <= copies * (1 + 2 * THREADS.get(victim.heap, 0)) + more, states
    victim.command("check")


def check_large_caches(victim, chunks):
    """Caches of large blocks exist since 2.42; since 2.43 mmapped ones wait there too."""
    large = [chunk for chunk in chunks if chunk[2] == "tcache" and chunk[1] > 2048]
    if victim.glibc in MMAPPED_LIKE_OTHERS and "tcache_max=4000000" in victim.environment.get("GLIBC_TUNABLES", ""):
        assert any(mmapped for *_, mmapped in large) and not all(mmapped for *_, mmapped in large), large
    else:
        tap.equal("large blocks in tcaches", large, [])


def every_block_is_live(heap, glibc, environment=None):
    with Victim(heap, glibc=glibc, **(environment or {})) as victim:
        check(victim)


def with_huge_pages(glibc):
    with Victim("huge-heap", glibc=glibc, **HUGE_TUNABLE) as victim:
        check(victim)


def without_brk(glibc):
    """Asked for pages that there are not, malloc takes small ones, and never from brk."""
    if kernel.reserved_huge_pages():
        raise tap.Skip("huge pages are reserved here, which malloc would take")
    with Victim("quiet", glibc=glibc, GLIBC_TUNABLES="glibc.malloc.hugetlb=2") as victim:
        check(victim)


def busy_heap_can_be_listed():
    """No book to compare with, but what is listed must be whole."""
    with Victim("churn", "1") as victim:
        check_order(list_chunks(victim.pid)[0])


tap.run(for_each_heap(every_block_is_live) + for_each_setting(every_block_is_live)
        + [(f"huge-heap, glibc {glibc}", lambda glibc=glibc: with_huge_pages(glibc)) for glibc in HUGE_GLIBCS]
        + [(f"quiet, hugetlb=2, glibc {glibc}", lambda glibc=glibc: without_brk(glibc)) for glibc in HUGE_GLIBCS]
        + [("a busy heap can be listed", busy_heap_can_be_listed)])
