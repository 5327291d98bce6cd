#!/usr/bin/env python3
"""Looking changes nothing: resident set, page tables, and what is shared with forks, page by page."""
import kernel
import residue
import tap
from victims import Victim

TOP = 1 << 47           # what lies above has no pagemap
STATUS = ["VmRSS", "RssAnon", "RssFile", "RssShmem", "VmSwap", "VmPTE", "VmData", "VmLck", "VmPin", "Threads"]
# Other processes come and go, and share files with the victim: of those only the victim's own part is compared.
OWN = ["Rss", "Private_Dirty", "Anonymous", "LazyFree", "AnonHugePages", "Swap"]
ALL = OWN + ["Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Pss_Dirty"]
EXCLUSIVE = 1 << 56


def picture(pid):
    """All that must stay: the status file, every mapping, and every page of it."""
    mappings = {}
    for start, end, name, fields in kernel.smaps(pid):
        names = OWN if fields["inode"] else ALL
        pages = kernel.entries(kernel.pagemap(pid, start, min(end, TOP))) if start < TOP else ()
        if fields["inode"]:
            pages = tuple(entry & ~EXCLUSIVE for entry in pages)
        mappings[start, end, name] = ({key: fields[key] for key in names if key in fields}, pages)
    status = kernel.status(pid)
    return {key: status[key] for key in STATUS}, mappings


def compare(who, before, after):
    tap.equal(f"status of {who}", after[0], before[0])
    tap.equal(f"list of mappings of {who}", sorted(after[1]), sorted(before[1]))
    for place, (fields, pages) in before[1].items():
        where = f"{who}, {place[0]:x}-{place[1]:x} {place[2]}"
        tap.equal(f"smaps of {where}", after[1][place][0], fields)
        changed = sum(old != new for old, new in zip(pages, after[1][place][1]))
        assert changed == 0, f"{changed} pages of {where} changed"


def nothing_moves(heap, *arguments, **environment):
    def test():
        with Victim(heap, **environment) as victim:
            family = [victim.pid, *victim.forks]
            before = {pid: picture(pid) for pid in family}
            for pid in family:
                said = residue.why(pid, *arguments)
                tap.equal("rss_bytes", said["rss_bytes"], before[pid][0]["VmRSS"])
                assert said["allocator"]["decoded"], residue.refusals(said)
            for pid in family:
                compare(pid, before[pid], picture(pid))
            victim.command("check")
    return test


def forks_share_most():
    """So that the test above is about something."""
    with Victim("fork-shared") as victim:
        shared = kernel.smaps_rollup(victim.pid)["Shared_Dirty"]
        assert shared > 30 << 20, f"only {shared} bytes are shared with the forks"


tap.run([
    ("forks share most of the heap", forks_share_most),
    ("a process and its forks", nothing_moves("fork-shared")),
    ("a process and its forks, --scan-small", nothing_moves("fork-shared", "--scan-small")),
    ("a process and its forks, --no-stop", nothing_moves("fork-shared", "--no-stop")),
    ("many arenas", nothing_moves("quiet")),
    ("huge pages that hold zeros", nothing_moves("huge-zero")),
    ("a heap in huge pages", nothing_moves("huge-heap", GLIBC_TUNABLES="glibc.malloc.hugetlb=1")),
])
