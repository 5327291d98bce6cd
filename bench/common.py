"""What the benches share: heaps of a given size, runs of residue, and this machine in one line.

A bench is `bench/NAME.py RESIDUE [ARGUMENT...]`; importing this reads RESIDUE.
"""
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[1]
RESIDUE = Path(sys.argv[1] if len(sys.argv) > 1 else "build/src/cmd/residue").resolve()
TESTS = RESIDUE.parents[2] / "tests"   # of the build directory
TOOLS = TESTS / "tools"
os.environ.update(RESIDUE=str(RESIDUE), SOURCE_ROOT=str(ROOT), TEST_CACHE=str(RESIDUE.parents[2] / "test-cache"),
                  HEAP_VICTIM=str(TESTS / "victims/heap-victim"))
sys.path.insert(0, str(ROOT / "tests/integration"))

from processes import clean_environment  # noqa: E402
from victims import HUGE_TUNABLE, Victim  # noqa: E402

MIB, GIB = 2**20, 2**30
# As heap-victim's fill takes them, and as a table names them. A chunk of 64 bytes has room for 56.
BLOCKS = {
    "64-merged": "64 B",
    "64": "64 B, fastbin",
    "64-shuffled": "64 B, shuffled fastbin",
    "1024": "1 KiB",
    "mixed": "mixed",
}


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    libc = " ".join(platform.libc_ver())
    return (f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {_memory('MemTotal') / GIB:.0f} GiB, "
            f"Linux {platform.release().split('-')[0]}, {libc}")


def _memory(name):
    return int(re.search(rf"^{name}: *(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)[1]) * 1024


def room_for(mib):
    """Whether a heap of that size leaves memory for others; says so where it does not."""
    available = _memory("MemAvailable")
    if mib * MIB * 1.1 + GIB <= available:
        return True
    print(f"(left out: a heap of {mib / 1024:.1f} GiB, as {available / GIB:.1f} GiB of memory are available)", flush=True)
    return False


class Filled(Victim):
    """A heap of that many MiB, half of it freed; see tests/victims/fill.c for kinds."""

    patience = 1800

    def __init__(self, kind, mib, threads=0, huge=False, one_arena=False):
        more = dict(HUGE_TUNABLE) if huge else {}
        if one_arena:
            more["MALLOC_ARENA_MAX"] = "1"
        super().__init__("fill", f"{kind}:{mib}" + (f":{threads}" if threads else ""), **more)

    def longest_gap(self):
        """For how long it was kept from running since the last call, in ns (after the command probe)."""
        return int(self.command("gap")[0])


def look(pid, threads=None):
    """What `residue why --json` says, and its peak memory in bytes; (None, reason) where it ended without a report."""
    more = {"RESIDUE_THREADS": str(threads)} if threads else {}
    result = subprocess.run([TOOLS / "peak-rss", RESIDUE, "why", "--json", str(pid)], capture_output=True, text=True,
                            env=clean_environment(**more), check=False)
    *errors, peak = result.stderr.splitlines()
    if result.returncode:
        return None, " ".join(errors)
    return json.loads(result.stdout), int(peak.split()[1])


def look_whole(pid, threads=None):
    """The same, where nothing excuses a refusal."""
    said, peak = look(pid, threads)
    if not said or not said["allocator"]["decoded"]:
        sys.exit(f"{sys.argv[0]}: {said['refusals'] if said else peak}")
    return said, peak


def live_blocks(said):
    return sum(arena["live_blocks"] or 0 for arena in said["arenas"])


def free_blocks(said):
    """Chunks in caches and bins; tops are not counted."""
    return sum(count or 0 for arena in said["arenas"] for where, count in arena["free_blocks"].items() if where != "top")


class Table:
    """Columns as wide as their titles, or as given: Table(("blocks", 12), "pause")."""

    def __init__(self, *columns):
        self.columns = [(column, len(column)) if isinstance(column, str) else column for column in columns]
        self.row(*[title for title, _ in self.columns])

    def row(self, *cells):
        print("  ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, self.columns)).rstrip(), flush=True)


def ms(ns):
    return f"{ns / 1e6:.1f} ms" if ns < 1e9 else f"{ns / 1e9:.2f} s"
