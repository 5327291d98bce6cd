#!/usr/bin/env python3
"""trim_would_return_bytes against what malloc_trim(0) really returns: not a page more or less."""
import kernel
import residue
import tap
from victims import HUGE_GLIBCS, HUGE_TUNABLE, Victim, for_each_heap, for_each_setting


def check(victim, may_refill=False):
    said = residue.why(victim.pid)
    predicted = said["trim_would_return_bytes"]
    assert predicted is not None, residue.refusals(said)
    before = kernel.rss(victim.pid)
    tap.equal("rss_bytes", said["rss_bytes"], before)
    victim.command("trim")
    returned = before - kernel.rss(victim.pid)
    tap.note(f"predicted {predicted}, returned {returned}, difference {predicted - returned}")
    assert abs(predicted - returned) <= kernel.PAGE, f"predicted {predicted}, returned {returned}"
    victim.command("check")
    again = residue.why(victim.pid)["trim_would_return_bytes"]
    # khugepaged may have filled up again what was discarded of huge pages.
    assert may_refill or again <= kernel.PAGE, f"after the trim {again} bytes are still predicted"


def prediction_holds(heap, glibc, environment=None):
    with Victim(heap, glibc=glibc, **(environment or {})) as victim:
        check(victim)


def with_settings(name, **environment):
    def test():
        with Victim("quiet", **environment) as victim:
            check(victim)
    return f"quiet, {name}", test


def with_huge_pages(glibc):
    with Victim("huge-heap", glibc=glibc, **HUGE_TUNABLE) as victim:
        check(victim, may_refill=True)


tap.run(for_each_heap(prediction_holds) + for_each_setting(prediction_holds) + [
    with_settings("no tcache", GLIBC_TUNABLES="glibc.malloc.tcache_count=0"),
    with_settings("never trimmed", MALLOC_TRIM_THRESHOLD_="-1"),
    with_settings("no mmapped chunks", MALLOC_MMAP_MAX_="0"),
    with_settings("a large pad", MALLOC_TOP_PAD_="10000000"),
] + [(f"huge-heap, glibc {glibc}", lambda glibc=glibc: with_huge_pages(glibc)) for glibc in HUGE_GLIBCS])
