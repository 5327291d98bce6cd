#!/usr/bin/env python3
"""Stop, look and go, again and again, while a victim allocates at full speed and checks every byte."""
import random
import time

import residue
import tap
from victims import Victim

ROUNDS = 200


def rounds_on(threads):
    numbers = random.Random(threads)
    decoded = refused = stops = late = 0
    longest = 0
    with Victim("churn", str(threads)) as victim:
        steps = 0
        for _ in range(ROUNDS):
            time.sleep(numbers.uniform(0, 0.005))
            result = residue.run("why", "--json", victim.pid)
            assert victim.process.poll() is None, f"the victim ended: {victim.process.stdout.read()}"
            if residue.not_in_time(result):
                late += 1
                continue
            said = residue.check(victim.pid, result)
            decoded += said["allocator"]["decoded"]
            refused += bool(said["refusals"])
            stops += said["pauses"]["count"]
            longest = max(longest, said["pauses"]["longest_ns"])
            if said["refusals"] and refused <= 3:
                tap.note(residue.refusals(said))
        before, steps = steps, int(victim.command("steps")[0])
        assert steps > before
        tap.equal("exit code of the victim", victim.quit(), 0)
    tap.note(f"{ROUNDS} rounds: {decoded} decoded, {refused} with refusals, {late} not stopped in time, {stops} stops, "
             f"the longest {longest / 1e6:.1f} ms, {steps} steps of the victim")
    assert refused + late < ROUNDS, "the heap was never decoded without a refusal"


tap.run([(f"{ROUNDS} rounds on {threads} thread{'s' * (threads > 1)}", lambda threads=threads: rounds_on(threads))
         for threads in (1, 8)])
