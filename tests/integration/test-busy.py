#!/usr/bin/env python3
"""Heaps that go on changing are told as they are, within what the victim itself says that it held during the look.

A victim counts what its blocks have together, and the least and the most it was. What else its heap holds is learnt
while it waits.
"""
import residue
import tap
from victims import GLIBCS, THOROUGH, Victim

LOOKS = 12
IN_HAND = 68 << 10   # of one worker: a block that it has and does not count, or counts and has not


def live(said):
    return sum(arena["live_bytes"] for arena in said["arenas"])


def whole(said):
    return said["allocator"]["decoded"] and not said["refusals"]


def look(victim, *arguments, way=None):
    environment = {**victim.environment, "RESIDUE_WAY": way} if way else victim.environment
    victim.command("live")
    said = residue.why(victim.pid, *arguments, env=environment)
    least, most = map(int, victim.command("live"))
    return said, least, most


def others(victim):
    """What the heap holds besides the victim's blocks."""
    victim.command("stop")
    for _ in range(20):
        said, least, most = look(victim, way="stopped")
        if said["way"] == "stopped" and whole(said):
            assert least == most, "the victim does not wait"
            return live(said) - least
    raise AssertionError(f"it is looked at as {said['way']}: {residue.refusals(said)}")


def assert_between(said, least, most, slack):
    told = live(said)
    assert least - slack <= told <= most + slack, (
        f"{told} bytes are told as in use; it held {least} to {most}, and may be off by {slack}")


def in_a_stop(kind, threads, glibc):
    ways = []
    with Victim("fill", f"{kind}:48:{threads}" if threads else f"{kind}:48", glibc=glibc) as victim:
        more = others(victim)
        victim.command("go", "20000")
        for _ in range(LOOKS):
            said, least, most = look(victim, way="moving")
            ways.append(said["way"])
            if said["long_stop_reason"]:
                tap.note(said["long_stop_reason"])
            if whole(said):
                assert_between(said, least + more, most + more, IN_HAND * max(threads, 1))
        victim.command("check")
        tap.equal("exit code of the victim", victim.quit(), 0)
    tap.note(f"{ways.count('moving')} of {LOOKS} looks while it moved")
    assert ways.count("moving") > LOOKS / 2, ways


def without_a_stop(kind, threads, glibc):
    known = 0
    with Victim("fill", f"{kind}:48:{threads}" if threads else f"{kind}:48", glibc=glibc) as victim:
        more = others(victim)
        victim.command("go", "20000")
        for _ in range(LOOKS):
            said, least, most = look(victim, "--no-stop")
            assert said["way"] == "running", said["way"]
            bound = said["error_bound_bytes"]
            if said["allocator"]["decoded"] and bound is not None:
                known += 1
                assert_between(said, least + more, most + more, bound + IN_HAND * max(threads, 1))
        victim.command("check")
        tap.equal("exit code of the victim", victim.quit(), 0)
    tap.note(f"{known} of {LOOKS} looks knew how far off they may be")


tap.run([(f"{test.__name__}, {kind}, {threads} threads, glibc {glibc}",
          lambda test=test, kind=kind, threads=threads, glibc=glibc: test(kind, threads, glibc))
         for glibc in (GLIBCS if THOROUGH else ["system"]) for test in (in_a_stop, without_a_stop)
         for kind, threads in (("mixed", 4), ("1024", 0))])
