#!/usr/bin/env python3
"""How long `residue why` takes on large heaps, against a plain copy of the same bytes by as many threads.

usage: bench/walk.py RESIDUE [MIB]      heaps of 4096 MiB, or less where memory is short

Runs of the two take turns, so that both meet the same machine. Told are medians of 5, the ratio, and residue's own
peak memory. Nothing passes or fails here.
"""
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESIDUE = Path(sys.argv[1]).resolve()
TESTS = RESIDUE.parents[2] / "tests"
VICTIM, COPY = TESTS / "victims/heap-victim", TESTS / "tools/plain-copy"
THREADS = min(os.cpu_count() or 1, 4)   # as many as residue takes
TURNS = 5
HEAPS = [("64 B", "64-merged"), ("64 B, fastbin", "64"), ("1 KiB", "1024"), ("mixed", "mixed")]


def heap_mib():
    if len(sys.argv) > 2:
        return int(sys.argv[2])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(4096, int(line.split()[1]) // 1024 // 2)
    return 4096


def start_victim(kind, mib):
    victim = subprocess.Popen([VICTIM, "fill", f"{kind}:{mib}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = victim.stdout.readline()
    if not line.startswith("READY"):
        sys.exit(f"walk.py: {line}")
    return victim


def run_residue(pid):
    """Its report, the seconds it took, and its peak memory in bytes."""
    begun = time.monotonic()
    child = subprocess.Popen([RESIDUE, "why", "--json", str(pid)], stdout=subprocess.PIPE, text=True)
    report = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"walk.py: residue ended with {child.returncode}")
    return json.loads(report), time.monotonic() - begun, usage.ru_maxrss * 1024


def run_copy(pid):
    """Bytes and seconds."""
    copied, ns = subprocess.run([COPY, str(pid), str(THREADS)], capture_output=True, text=True, check=True).stdout.split()
    return int(copied), int(ns) / 1e9


def measure(pid):
    reports, walls, peaks, copies, copied = [], [], [], [], 0
    for _ in range(TURNS):
        report, wall, peak = run_residue(pid)
        copied, seconds = run_copy(pid)
        reports.append(report)
        walls.append(wall)
        peaks.append(peak)
        copies.append(seconds)
    pause = statistics.median(report["pauses"]["longest_ns"] for report in reports) / 1e9
    wall, copy = statistics.median(walls), statistics.median(copies)
    blocks = sum(arena["live_blocks"] for arena in reports[0]["arenas"])
    assert all(report["allocator"]["decoded"] for report in reports), reports[0]["refusals"]
    return copied, blocks, pause, wall, copy, max(peaks)


def main():
    mib = heap_mib()
    print(f"heaps of {mib} MiB, {THREADS} threads, medians of {TURNS}")
    print(f"{'blocks':>13} {'copied':>10} {'live blocks':>12} {'pause':>9} {'whole run':>10} {'plain copy':>11} "
          f"{'pause/copy':>11} {'run/copy':>9} {'peak RSS':>10}")
    for name, kind in HEAPS:
        victim = start_victim(kind, mib)
        try:
            copied, blocks, pause, wall, copy, peak = measure(victim.pid)
        finally:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        print(f"{name:>13} {copied / 2**20:>6.0f} MiB {blocks:>12} {pause:>7.3f} s {wall:>8.3f} s {copy:>9.3f} s "
              f"{pause / copy:>11.2f} {wall / copy:>9.2f} {peak / 2**20:>6.1f} MiB", flush=True)


main()
