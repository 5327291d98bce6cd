#!/usr/bin/env python3
"""The three ways of coming by a look of one moment tell the same of a heap that holds still, figure by figure."""
import residue
import tap
from victims import Victim, for_each_heap

# Of the look, not of the process; and the cgroup is others' too.
OF_THE_LOOK = {"way", "long_stop_reason", "pauses", "elapsed_ns", "taken_at_ns", "cgroup"}


def look(victim, way):
    said = residue.why(victim.pid, env={**victim.environment, "RESIDUE_WAY": way})
    # Where a waiting thread's stack pointer is may differ from stop to stop by some words.
    ledger = said["ledger"]
    ledger["stacks"] = ledger.pop("stack.used") + ledger.pop("stack.stale")
    return said["way"], {key: value for key, value in said.items() if key not in OF_THE_LOOK}


def differences(one, other, path=""):
    if isinstance(one, dict) and isinstance(other, dict):
        return [found for key in sorted(one.keys() | other.keys())
                for found in differences(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [found for i, (a, b) in enumerate(zip(one, other)) for found in differences(a, b, f"{path}[{i}]")]
    return [] if one == other else [f"{path}: {one} and {other}"]


def look_by(victim, way):
    """A machine that is busy may wake a sleeping process, or have it preempted: then another way is taken."""
    for _ in range(20):
        taken, said = look(victim, way)
        if taken == way:
            return said
    raise AssertionError(f"in 20 looks it was never {way}, but {taken}")


def ways_agree(heap, glibc):
    with Victim(heap, glibc=glibc) as victim:
        stopped = look_by(victim, "stopped")
        if stopped["rss_bytes"] < 16 << 20:
            raise tap.Skip("small processes are looked at in one stop, always")
        # Memory of others between malloc's own cannot be told from blocks in use by what is free.
        for way in ("still",) if heap == "foreign-sbrk" else ("moving", "still"):
            different = differences(stopped, look_by(victim, way))
            assert not different, f"{way}: " + "; ".join(different[:10])
        victim.command("check")


def none_is_long_without_a_reason():
    with Victim("quiet") as victim:
        for way in ("still", "moving"):
            assert look(victim, way)[1]["stopped"]


tap.run(for_each_heap(ways_agree) + [("every way counts as stopped", none_is_long_without_a_reason)])
