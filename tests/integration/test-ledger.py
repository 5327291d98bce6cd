#!/usr/bin/env python3
"""The ledger of processes that hold still against the kernel's figures and against malloc's own."""
import kernel
import residue
import tap
from victims import HUGE_GLIBCS, HUGE_TUNABLE, STATICS, Victim, for_each_heap, for_each_setting

TOUCHED_STACK = 256 * 1024   # heap-victim has used that much of its stack once
FOREIGN = {"foreign-sbrk": 256 * 1024, "brk-at-times": 32 * 1024}   # at most what heap-victim takes by sbrk and uses


def check_against_kernel(victim, said):
    exact = kernel.rss(victim.pid)
    tap.equal("rss_bytes", said["rss_bytes"], exact)
    if kernel.statm_is_exact():
        tap.equal("statm's figure", kernel.statm_rss(victim.pid), exact)
    status = kernel.status(victim.pid)
    tap.equal("the code account", said["ledger"]["code"], status["RssFile"])
    tap.equal("the shared account", said["ledger"]["shared"], status["RssShmem"])
    tap.equal("threads", said["threads"], status["Threads"])
    assert said["ledger"]["stack.stale"] >= TOUCHED_STACK - 8 * kernel.PAGE, said["ledger"]


def own_arenas(said):
    """Those that the victim's mallinfo knows of."""
    return [arena for arena in said["arenas"] if not arena["other_copy"]]


def total(said, *keys):
    return sum(arena["free_bytes"][key] for arena in own_arenas(said) for key in keys)


def check_against_malloc(victim, said):
    info = victim.info()
    main, = [arena for arena in own_arenas(said) if arena["main"]]
    if victim.heap != "namespaces":   # which has mmapped chunks of both
        tap.equal("mmapped chunks", said["mmapped_chunks"]["count"], info["hblks"] - mapped_tcaches(victim))
        # malloc's figure has what lies before aligned chunks as well; test-blocks.py compares that.
        assert said["mmapped_chunks"]["bytes"] <= info["hblkhd"], f"{said['mmapped_chunks']}, malloc says {info}"
    if victim.heap not in ("quiet", "caches", "remapped", "memalign", "namespaces", "fork-orphans"):
        tap.equal("bytes of mmapped chunks", said["mmapped_chunks"]["bytes"], info["hblkhd"])
    tap.equal("bytes in fastbins", total(said, "fastbin"), info["fsmblks"])
    tap.equal("free bytes outside of tcaches", total(said, "fastbin", "bins", "top"), info["fordblks"])
    tap.equal("the main arena's top", main["free_bytes"]["top"], info["keepcost"])
    rest = info["arena"] - total(said, "fastbin", "bins", "top", "tcache") \
        - sum(arena["live_bytes"] for arena in own_arenas(said)) - FOREIGN.get(victim.heap, 0)
    # Heads of arenas and heaps, tcache structs, fences: what is neither free nor live.
    most = len(said["arenas"]) * 8192 + sum(arena["heaps"] for arena in said["arenas"]) * 128 + victim_threads(said) * 1024
    assert -FOREIGN.get(victim.heap, 0) <= rest <= most, f"{rest} bytes of the arenas are neither free nor live"


def mapped_tcaches(victim):
    """The main thread's tcache, if that is too large for the heap: neither free nor live."""
    return 1 if int(victim.environment.get("MALLOC_MMAP_THRESHOLD_", 1 << 17)) < 600 else 0


def victim_threads(said):
    return said["threads"] + 8


def check_against_blocks(victim, said):
    blocks = victim.blocks()
    live = sum(arena["live_bytes"] for arena in said["arenas"]) + said["mmapped_chunks"]["bytes"]
    count = sum(arena["live_blocks"] for arena in said["arenas"]) + said["mmapped_chunks"]["count"]
    usable = sum(usable for _, _, usable in blocks)
    others = count - len(blocks)
    # Since 2.43 a tcache may hold mmapped chunks.
    cached = said["mmapped_chunks"] if victim.heap == "caches" else {"count": 0, "bytes": 0}
    assert 0 <= others <= 64 + cached["count"], f"{count} live blocks are told, {len(blocks)} are the victim's"
    # Alignment can leave up to its size unused before a chunk with a mapping of its own.
    slack = 16 * len(blocks) + others * 4096 + said["mmapped_chunks"]["count"] * kernel.HUGE + cached["bytes"]
    assert usable <= live <= usable + slack, \
        f"{live} live bytes are told, {usable} are the victim's"


def check_explained(said, foreign=0):
    tap.equal("refusals", residue.refusals(said), "")
    tap.equal("decoded", said["allocator"]["decoded"], True)
    tap.note(f"{said['ledger']}, pauses {said['pauses']}")
    assert said["ledger"]["unexplained"] <= foreign + 64 * 1024, f"{said['ledger']['unexplained']}: {said['unexplained_by']}"


def the_ledger_is_right(heap, glibc, environment=None):
    with Victim(heap, glibc=glibc, **(environment or {})) as victim:
        said = residue.why(victim.pid)
        check_against_kernel(victim, said)
        check_explained(said, FOREIGN.get(heap, 0))
        check_against_malloc(victim, said)
        check_against_blocks(victim, said)
        if glibc not in ("system", *STATICS):
            tap.equal("version", said["allocator"]["version"], glibc)


def huge_bytes(pid, start=0, end=1 << 64):
    return sum(fields.get("AnonHugePages", 0) for at, to, _, fields in kernel.smaps(pid) if at < end and to > start)


def zeros_in_huge_pages_are_told():
    with Victim("huge-zero") as victim:
        start, length = victim.remarks[0].split()[1:]
        start, length = int(start, 16), int(length)
        if huge_bytes(victim.pid, start, start + length) < length:
            raise tap.Skip("this kernel gave no huge pages to madvise(MADV_HUGEPAGE)")
        said = residue.why(victim.pid)
        check_against_kernel(victim, said)
        pages = length // kernel.HUGE
        tap.equal("zero.huge", said["ledger"]["zero.huge"], length - pages * kernel.PAGE)
        tap.equal("zero.small", said["ledger"]["zero.small"], 0)
        assert any(finding["bytes"] >= said["ledger"]["zero.huge"] for finding in said["findings"]), said["findings"]


def zeros_in_live_blocks_are_told(glibc):
    with Victim("huge-heap", glibc=glibc, **HUGE_TUNABLE) as victim:
        if not huge_bytes(victim.pid):
            raise tap.Skip("this kernel gave no huge pages to the heap")
        said = residue.why(victim.pid)
        check_against_kernel(victim, said)
        check_explained(said)
        check_against_malloc(victim, said)
        # 700 blocks of 100 KiB, about 8 KiB of each written.
        live = said["ledger"]["heap.live"]
        tap.note(f"{huge_bytes(victim.pid)} bytes in huge pages, {said['heap_live_zero_bytes']} of {live} live ones zero")
        assert 0.5 * live < said["heap_live_zero_bytes"] < live, said


def zeros_in_small_pages_are_told_when_asked_for():
    with Victim("huge-zero", "16", GLIBC_TUNABLES="") as victim:
        plain = residue.why(victim.pid)
        scanned = residue.why(victim.pid, "--scan-small")
        tap.equal("rss_bytes", scanned["rss_bytes"], plain["rss_bytes"])
        tap.equal("zero.small without --scan-small", plain["ledger"]["zero.small"], 0)


def settings_are_told():
    with Victim("quiet", MALLOC_ARENA_MAX="3", MALLOC_MMAP_THRESHOLD_="400000") as victim:
        said = residue.why(victim.pid)
        tap.equal("settings", {key: said["settings"][key] for key in ("arena_max", "mmap_threshold", "dynamic_threshold")},
                  {"arena_max": 3, "mmap_threshold": 400000, "dynamic_threshold": False})
        assert len(said["arenas"]) == 3, len(said["arenas"])
        check_against_malloc(victim, said)


tap.run(for_each_heap(the_ledger_is_right) + for_each_setting(the_ledger_is_right) + [
    ("zeros in huge pages are told", zeros_in_huge_pages_are_told),
    ("zeros in small pages are told when asked for", zeros_in_small_pages_are_told_when_asked_for),
    ("settings are told", settings_are_told),
] + [(f"huge-heap, glibc {glibc}", lambda glibc=glibc: zeros_in_live_blocks_are_told(glibc)) for glibc in HUGE_GLIBCS])
