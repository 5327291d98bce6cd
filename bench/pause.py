#!/usr/bin/env python3
"""For how long `residue why` keeps a process from running, quiet and busy, against the bound that it shall keep.

usage: bench/pause.py RESIDUE [GIB [KIND...]]      1 and 4 (as in 1,4,12); 64-merged, 1024 and mixed

The bound is 5 ms, 4 ms a GiB resident, and 0.1 us a chunk in caches and bins. Told are, of 5 looks, the most stops,
the longest pause, the most that one look's pauses add up to, and the longest that a thread of the process noticed,
which a busy machine makes longer: beside it ("else") what it notices in the same time without a look. Busy processes
take and drop blocks all over the heap, as fast as they can or 20,000 a second. Asleep is a process that waits; quiet is
one with a thread that runs on and touches no heap. "reads" is what it costs here to read 32 bytes of as many places,
evenly spread, as there are chunks in bins and caches, by two threads: no stop that reads them all is shorter.
Nothing passes or fails here.
"""
import subprocess
import sys
import time

from common import BLOCKS, GIB, TOOLS, Filled, Table, free_blocks, look, machine, ms, room_for

TURNS = 5
KINDS = ["64-merged", "1024", "mixed"]
RATE = 20000
ASLEEP, QUIET, SLOW, FAST = "asleep", None, RATE, 0
STATES = {ASLEEP: "asleep", QUIET: "quiet", SLOW: f"{RATE} a second", FAST: "at full speed"}
# How the victim is built, and in which states it is looked at.
VICTIMS = [
    ({}, "alone", (ASLEEP, QUIET, SLOW, FAST)),
    ({"threads": 8}, "8 threads", (ASLEEP, QUIET, SLOW, FAST)),
    ({"threads": 8, "one_arena": True}, "8 threads, 1 arena", (SLOW, FAST)),
]


def bound_ns(said):
    return 5e6 + 4e6 * said["rss_bytes"] / GIB + 100 * free_blocks(said)


def enter(victim, state):
    if state is ASLEEP:
        return
    if not getattr(victim, "probed", False):
        victim.command("probe")
        victim.probed = True
    victim.command("stop")
    if state is not QUIET:
        victim.command("go", str(state))
        time.sleep(0.3)


def reads_ns(victim, said):
    step = max(said["rss_bytes"] // max(free_blocks(said), 1), 32)
    done = subprocess.run([TOOLS / "plain-copy", str(victim.pid), "2", str(step)], capture_output=True, text=True,
                          check=True)
    return int(done.stdout.split()[1])


def felt_without(victim, ns):
    victim.longest_gap()
    time.sleep(max(ns / 1e9, 0.05))
    return victim.longest_gap()


def looks_at(victim, state):
    """[(report, what the victim felt)], the last reason for a refusal, and how many there were."""
    looks, refused, reason = [], 0, ""
    for _ in range(TURNS):
        if state is not ASLEEP:
            victim.longest_gap()
        said, error = look(victim.pid)
        felt = victim.longest_gap() if state is not ASLEEP else 0
        if said and said["allocator"]["decoded"]:
            looks.append((said, felt))
        if not said or said["refusals"]:
            refused += 1
            reason = said["refusals"][0]["reason"] if said else error
    return looks, refused, reason


def felt(victim, state, looks):
    if state is ASLEEP:
        return "", ""
    return (ms(max(felt for _, felt in looks)),
            ms(felt_without(victim, max(said["elapsed_ns"] for said, _ in looks))))


def measure(table, gib, kind, who, victim, state):
    enter(victim, state)
    looks, refused, reason = looks_at(victim, state)
    name = f"{who}, {STATES[state]}"
    if looks:
        pauses = [said["pauses"] for said, _ in looks]
        worst = max(looks, key=lambda look: look[0]["pauses"]["longest_ns"] / bound_ns(look[0]))[0]
        longest = max(pause["longest_ns"] for pause in pauses)
        table.row(gib, BLOCKS.get(kind, kind), name, max(pause["count"] for pause in pauses), ms(longest),
                  ms(max(pause["total_ns"] for pause in pauses)), *felt(victim, state, looks),
                  ms(reads_ns(victim, worst)), ms(bound_ns(worst)),
                  f"{worst['pauses']['longest_ns'] / bound_ns(worst):.2f}", refused)
    if refused:
        print(f"    {refused} of {TURNS} looks had refusals: {reason}", flush=True)


def main():
    sizes = [int(size) for size in (sys.argv[2] if len(sys.argv) > 2 else "1,4").split(",")]
    print(f"Pauses. {machine()}. The worst of {TURNS} looks.")
    table = Table("GiB", ("blocks", 14), ("process", 35), "stops", ("longest", 8), ("total", 8), ("felt", 8), ("else", 8),
                  ("reads", 8), ("bound", 8), "longest/bound", "refused")
    for gib in sizes:
        if not room_for(gib * 1024):
            continue
        for kind in sys.argv[3:] or KINDS:
            for how, who, states in VICTIMS:
                with Filled(kind, gib * 1024, **how) as victim:
                    for state in states:
                        measure(table, gib, kind, who, victim, state)
                    victim.command("check")


main()
