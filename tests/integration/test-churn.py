#!/usr/bin/env python3
"""Stop, look and go, again and again, while a victim allocates at full speed and checks every byte.

RESIDUE_ROUNDS: how many times, 200 unless it is set.
"""
import os
import random
import time

import residue
import tap
from victims import GLIBCS, Victim

ROUNDS = int(os.environ.get("RESIDUE_ROUNDS", 200))
RETRIES = 10   # of a look that was refused


class Looks:
    """Counts what became of them."""

    def __init__(self):
        self.rounds = self.refused = self.late = self.most_tries = self.stops = self.longest_ns = 0

    def take(self, victim):
        """Whether one look told everything."""
        result = residue.run("why", "--json", victim.pid)
        assert victim.process.poll() is None, f"the victim ended: {victim.process.stdout.read()}"
        if residue.not_in_time(result):
            self.late += 1
            return False
        said = residue.check(victim.pid, result)
        self.stops += said["pauses"]["count"]
        self.longest_ns = max(self.longest_ns, said["pauses"]["longest_ns"])
        if not said["refusals"]:
            assert said["allocator"]["decoded"], said
            return True
        self.refused += 1
        if self.refused <= 3:
            tap.note(residue.refusals(said))
        return False

    def round(self, victim):
        self.rounds += 1
        for tries in range(1, 2 + RETRIES):
            self.most_tries = max(self.most_tries, tries)
            if self.take(victim):
                return
            time.sleep(0.01)
        raise AssertionError(f"round {self.rounds}: refused, and {RETRIES} more times")

    def __str__(self):
        return (f"{self.rounds} rounds: {self.refused} looks with refusals, {self.late} not stopped in time, at most "
                f"{self.most_tries} tries in a round, {self.stops} stops, the longest {self.longest_ns / 1e6:.1f} ms")


def rounds_on(victim, count):
    numbers, looks = random.Random(count), Looks()
    before = int(victim.command("steps")[0])
    for _ in range(count):
        time.sleep(numbers.uniform(0, 0.005))
        looks.round(victim)
    steps = int(victim.command("steps")[0]) - before
    tap.note(f"{looks}, {steps} steps of the victim")
    assert steps > 0, "the victim stands still"
    victim.command("check")
    tap.equal("exit code of the victim", victim.quit(), 0)


def on_churn(threads, count=ROUNDS, glibc="system"):
    with Victim("churn", str(threads), glibc=glibc) as victim:
        rounds_on(victim, count)


def on_a_filled_heap(threads):
    """Larger, so that a look takes long, with bins that change everywhere."""
    with Victim("fill", f"mixed:64:{threads}") as victim:
        victim.command("go")
        rounds_on(victim, ROUNDS // 4)


tap.run([
    (f"{ROUNDS} rounds without threads", lambda: on_churn(1)),
    (f"{ROUNDS} rounds on 8 threads", lambda: on_churn(8)),
    (f"{ROUNDS // 4} rounds on a larger heap without threads", lambda: on_a_filled_heap(0)),
    (f"{ROUNDS // 4} rounds on a larger heap of 8 threads", lambda: on_a_filled_heap(8)),
] + [(f"{ROUNDS // 4} rounds on {threads} thread(s), glibc {glibc}",
      lambda threads=threads, glibc=glibc: on_churn(threads, ROUNDS // 4, glibc))
     for glibc in GLIBCS[1:] for threads in (1, 8)])
