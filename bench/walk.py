#!/usr/bin/env python3
"""How long `residue why` takes on large heaps, against a plain copy of the same bytes by as many threads.

usage: bench/walk.py RESIDUE [MIB [KIND...]]      4096, and all kinds but shuffled; common.py lists them

Runs of the two take turns, so that both meet the same machine. Told are medians of 5 of the whole look, of the longest
pause and of the copy, and the ratios. Nothing passes or fails here.
"""
import statistics
import subprocess
import sys

from common import BLOCKS, MIB, TOOLS, Filled, Table, free_blocks, live_blocks, look_whole, machine, ms, room_for

TURNS = 5
KINDS = ["64-merged", "64", "1024", "mixed"]


def run_copy(pid, threads):
    """Bytes and nanoseconds."""
    done = subprocess.run([TOOLS / "plain-copy", str(pid), str(threads)], capture_output=True, text=True, check=True)
    return map(int, done.stdout.split())


def measure(table, kind, huge, victim, threads):
    looks, pauses, copies, said, copied = [], [], [], None, 0
    for _ in range(TURNS):
        said, _ = look_whole(victim.pid, threads)
        copied, ns = run_copy(victim.pid, threads)
        looks.append(said["elapsed_ns"])
        pauses.append(said["pauses"]["longest_ns"])
        copies.append(ns)
    whole, pause, copy = map(statistics.median, (looks, pauses, copies))
    table.row(BLOCKS.get(kind, kind), "2 MiB" if huge else "4 KiB", threads, f"{copied / MIB:.0f} MiB",
              f"{(live_blocks(said) + free_blocks(said)) / 1e6:.1f} M", f"{free_blocks(said) / 1e6:.1f} M", ms(whole),
              ms(pause), ms(copy), f"{whole / copy:.2f}", f"{pause / copy:.2f}")


def main():
    mib = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
    print(f"The walk against a plain copy. {machine()}. Medians of {TURNS}.")
    if not room_for(mib):
        return
    table = Table(("blocks", 22), "pages", "threads", ("copied", 9), ("chunks", 7), ("free", 7), ("look", 9), ("pause", 9),
                  ("copy", 9), "look/copy", "pause/copy")
    for kind in sys.argv[3:] or KINDS:
        for huge in (False, True):
            with Filled(kind, mib, huge=huge) as victim:
                for threads in (1, 2):
                    measure(table, kind, huge, victim, threads)


main()
