#!/usr/bin/env python3
"""How much memory `residue why` takes for the largest heaps that fit here.

usage: bench/memory.py RESIDUE [KIND:MIB...]      12 GiB of two kinds, and 100 million chunks, every second one free

Nothing passes or fails here.
"""
import sys

from common import MIB, Filled, Table, free_blocks, live_blocks, look_whole, machine, ms, room_for

HUNDRED_MILLION = 100_000_000 * 64 // MIB + 1   # MiB, in chunks of 64 bytes
HEAPS = [("mixed", 12 * 1024), ("1024", 12 * 1024), ("64-alternate-merged", HUNDRED_MILLION),
         ("64-alternate", HUNDRED_MILLION)]


def main():
    heaps = [(kind, int(mib)) for kind, mib in (heap.split(":") for heap in sys.argv[2:])] or HEAPS
    print(f"Peak memory of residue. {machine()}.")
    table = Table(("blocks", 20), ("resident", 9), ("chunks", 11), ("free", 10), ("look", 9), ("peak", 9))
    for kind, mib in heaps:
        if not room_for(mib):
            continue
        with Filled(kind, mib) as victim:
            said, peak = look_whole(victim.pid)
        free = free_blocks(said)
        table.row(kind, f"{said['rss_bytes'] / MIB:.0f} MiB", live_blocks(said) + free, free, ms(said["elapsed_ns"]),
                  f"{peak / MIB:.1f} MiB")


main()
