#!/usr/bin/env python3
"""residue reclaim of free pages: as much comes back as was predicted, the heap works on, and no byte is lost, even when
residue is killed meanwhile.

RESIDUE_ROUNDS: how many times it is killed at each victim, 25 unless it is set.
"""
import json
import os
import random
import signal
import subprocess
import time

import cgroups
import kernel
import residue
import tap
from processes import end, start, wait_until
from victims import GLIBCS, THOROUGH, Victim

ROUNDS = int(os.environ.get("RESIDUE_ROUNDS", 25))
SLACK = 64 * kernel.PAGE * (os.cpu_count() + 1)   # each CPU may keep so much of a charge at hand
HEAPS = ["quiet", "threads-few-survivors", "tops", "mmap-threshold", "arena-multi-heap", "foreign-sbrk", "brk-blocked",
         "memalign", "namespaces"]
HEAPS_OF_OTHERS = ["quiet", "tops", "threads-few-survivors"]
EDGE = "at the edge of its mapping"
BARE = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]   # so that the process discards all itself


def needs_splitting():
    if kernel.release() < (6, 12):
        raise tap.Skip("huge pages drop their zeros when split only since Linux 6.12")


def can_be_bare():
    if subprocess.run([*BARE, "true"], capture_output=True, check=False).returncode:
        raise tap.Skip("capabilities cannot be dropped here")


def reclaim(pid, *arguments, codes=(0,), **options):
    result = residue.run("reclaim", "--json", "--only=free-pages", *arguments, pid, **options)
    if result.returncode == 69 and "MADV_COLLAPSE" in result.stderr:
        raise tap.Skip("this kernel makes no huge pages when asked")
    assert result.returncode in codes, f"exit code {result.returncode}: {result.stderr}{result.stdout}"
    return json.loads(result.stdout)


def cure(said):
    return next(each for each in said["cures"] if each["name"] == "free-pages")


def skipped(said, part=""):
    return sum(skip["bytes"] for skip in cure(said)["skipped"] if part in skip["reason"])


def as_predicted(heap, glibc, *arguments, leaves=0, **options):
    """And what is left is what why still calls returnable."""
    needs_splitting()
    with Victim(heap, glibc=glibc) as victim:
        returnable = residue.why(victim.pid)["ledger"]["heap.free.returnable"]
        dry, before = reclaim(victim.pid, "--dry-run", *arguments, **options), kernel.rss(victim.pid)
        said = reclaim(victim.pid, *arguments, **options)
        told, after = cure(said), kernel.rss(victim.pid)
        tap.note(f"{returnable} returnable, {told['predicted_rss_bytes']} predicted, {told['returned_rss_bytes']} returned, "
                 f"left {skipped(said)}; RSS {before} to {after}; longest pause {said['pauses']['longest_ns'] // 1000} us")
        tap.equal("predicted and left", told["predicted_rss_bytes"] + skipped(said), returnable)
        tap.equal("predicted dry", cure(dry)["predicted_rss_bytes"], told["predicted_rss_bytes"])
        tap.equal("returned", told["returned_rss_bytes"], told["predicted_rss_bytes"])
        tap.equal("left for the reason that is expected", skipped(said, EDGE), skipped(said))
        assert skipped(said) <= leaves, said
        # Pages of blocks that were never written to hold only zeros, and go along.
        assert before - after >= told["returned_rss_bytes"], (before, after, told)
        tap.equal("rss_after_bytes", said["rss_after_bytes"], after)
        victim.command("check")
        tap.equal("returnable then", residue.why(victim.pid)["ledger"]["heap.free.returnable"], skipped(said))
        tap.equal("predicted then", cure(reclaim(victim.pid, *arguments, **options))["predicted_rss_bytes"], 0)
        victim.command("take", "5000", "3000")   # out of what was given back, as out of anything free
        victim.command("take", "300", "100000")
        victim.command("check")
        victim.command("trim")
        tap.equal("exit code", victim.quit(), 0)


def from_outside_only(heap, glibc):
    """What is at the edges of mappings stays then."""
    as_predicted(heap, glibc, "--no-inject", leaves=20 << 20)


def without_rights_to_advise(heap, glibc):
    """The process can do it all itself."""
    can_be_bare()
    as_predicted(heap, glibc, before=BARE)


def confirmed_only(heap, glibc):
    """A stop may not be long enough to follow the lists: each chunk is looked at by itself."""
    as_predicted(heap, glibc, "--max-pause=1us")


def all_as_malloc_trim(glibc):
    """And more, where thread arenas have tops."""
    needs_splitting()
    with Victim("quiet", glibc=glibc) as victim:
        expected = residue.why(victim.pid)["trim_would_return_bytes"]
        returned = cure(reclaim(victim.pid))["returned_rss_bytes"]
        tap.note(f"malloc_trim(0) would have returned {expected}, reclaim {returned}")
        assert returned >= expected * 0.99, (returned, expected)


def rss_falls_exactly():
    """Of a heap all of whose pages are written to."""
    needs_splitting()
    with Victim("fill", "70000:128") as victim:
        before = kernel.rss(victim.pid)
        said = reclaim(victim.pid)
        assert cure(said)["returned_rss_bytes"] > 40 << 20, said
        tap.equal("RSS fell by", before - kernel.rss(victim.pid), cure(said)["returned_rss_bytes"])
        victim.command("check")


def the_charge_falls():
    needs_splitting()
    with cgroups.group() as (_, group), Victim("tops", group=group) as victim:
        before = group.charge()
        said = reclaim(victim.pid)
        fell, told = before - group.charge(), cure(said)
        tap.note(f"the charge fell by {fell}, {told['returned_charge_bytes']} was told, {told['predicted_charge_bytes']} predicted")
        for figure in fell, told["returned_charge_bytes"], told["predicted_charge_bytes"]:
            assert abs(figure - told["predicted_rss_bytes"]) <= told["predicted_rss_bytes"] // 100 + SLACK, (fell, told)


def a_full_cgroup_is_not_filled():
    """A huge page is charged before the small ones go: where the limit is near, nobody is to be killed for it."""
    needs_splitting()
    with cgroups.group() as (_, group), Victim("tops", group=group) as victim:
        group.limit(group.charge() + (3 << 20))
        refused = cure(reclaim(victim.pid, "--no-inject", codes=(0, 1)))
        reasons = {skip["reason"] for skip in refused["skipped"]}
        assert any("too near its limit" in reason for reason in reasons), refused
        victim.command("check")
        group.limit(group.charge() + (64 << 20))
        told = cure(reclaim(victim.pid, "--no-inject"))
        tap.equal("returned", told["returned_rss_bytes"], told["predicted_rss_bytes"])
        victim.command("check")


def what_the_kernel_does_not_take_as_a_whole():
    """A page that the kernel holds keeps it from making a huge page of its block: the process discards what is free in it,
    and without leave to run anything in it that is left."""
    needs_splitting()
    for arguments in (["--no-inject"], []):
        with Victim("quiet") as victim:
            held = int(victim.command("hold")[0])
            assert held > 4, held
            said = reclaim(victim.pid, *arguments, codes=(0, 1))
            told = cure(said)
            refused = skipped(said, "the kernel made no huge page of its block")
            tap.note(f"{told['predicted_rss_bytes']} predicted, {told['returned_rss_bytes']} returned, {refused} refused, of {held} held")
            assert (refused > 0) == bool(arguments), said
            tap.equal("returned or refused", told["returned_rss_bytes"] + refused, told["predicted_rss_bytes"])
            victim.command("check")


def what_a_fork_shares_is_left():
    needs_splitting()
    with Victim("fork-shared") as victim:
        said, before = reclaim(victim.pid), [kernel.rss(pid) for pid in (victim.pid, *victim.forks)]
        tap.equal("predicted", cure(said)["predicted_rss_bytes"], 0)
        assert skipped(said, "a fork shares") > 0, said
        tap.equal("RSS of all", [kernel.rss(pid) for pid in (victim.pid, *victim.forks)], before)
        victim.command("check")


def is_let_go(victim):
    """At once, or when what was begun in it has been ended by the process that holds it then."""
    wait_until("nobody traces it", lambda: kernel.status(victim.pid)["TracerPid"] == 0)


def busy(kind, threads, glibc, *arguments, rate="20000"):
    """Predicted or not: it checks every block that it drops, and all of them in the end."""
    needs_splitting()
    returned, codes = 0, []
    with Victim("fill", f"{kind}:64:{threads}" if threads else f"{kind}:64", glibc=glibc) as victim:
        victim.command("go", rate)
        for _ in range(6):
            result = residue.run("reclaim", "--json", "--only=free-pages", *arguments, victim.pid)
            assert result.returncode in (0, 1, 69), result
            codes.append(result.returncode)
            if result.returncode != 69:
                returned += cure(json.loads(result.stdout))["returned_rss_bytes"]
        victim.command("check")
        steps = int(victim.command("steps")[0])
        tap.equal("exit code of the victim", victim.quit(), 0)
    tap.note(f"{returned >> 20} MiB came back of a heap of 64 MiB while it took {steps} steps; exit codes {codes}")
    assert returned > 0, codes


def killed(heap, arguments, go, glibc="system"):
    """At any moment: the process goes on, untraced, with every byte."""
    needs_splitting()
    chance = random.Random(1)
    with Victim(heap, *arguments, glibc=glibc) as victim:
        if go:
            victim.command("go", "50000")
        elif heap == "quiet":
            victim.command("take", "100", "100000")
        for number in range(ROUNDS):
            child = start([residue.RESIDUE, "reclaim", "--only=free-pages", str(victim.pid)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.005, 0.4))
            end(child)
            is_let_go(victim)
            assert kernel.state(victim.pid)[0] in "SRD", kernel.state(victim.pid)
            if number % 5 == 0:
                victim.command("check")
                if not go:   # so that there is something to do
                    victim.command("take", "40", "300000")
                    victim.command("drop", "40")
        victim.command("check")
        tap.equal("exit code of the victim", victim.quit(), 0)


def killed_everywhere(threads, before=()):
    """At each point between two things that it does: by a process that changes its heap all the time."""
    needs_splitting()
    killed_times, ended = 0, 0
    with Victim("fill", f"20000:64:{threads}" if threads else "20000:64") as victim:
        victim.command("go", "100000")
        for number in range(1, 200, 1 if THOROUGH else 3):
            result = residue.run("reclaim", "--only=free-pages", victim.pid,
                                 env={**os.environ, "RESIDUE_TEST_DIE_AT": str(number), "RESIDUE_TEST_DIE": "program"},
                                 before=before)
            assert result.returncode in (-signal.SIGKILL, 0, 1, 69), result
            is_let_go(victim)
            killed_times += result.returncode == -signal.SIGKILL
            ended += result.returncode != -signal.SIGKILL
            if number % 10 == 0:
                victim.command("check")
            if ended > 5:   # there are no more points than that
                break
        victim.command("check")
        tap.equal("exit code of the victim", victim.quit(), 0)
    tap.note(f"killed {killed_times} times, the last time at point {number}")
    assert killed_times > 10, killed_times


def discarding_killed():
    can_be_bare()
    killed_everywhere(3, before=BARE)


TESTS = [(f"{heap}, glibc {glibc}", lambda heap=heap, glibc=glibc: as_predicted(heap, glibc))
         for glibc in GLIBCS for heap in (HEAPS if glibc == "system" else HEAPS_OF_OTHERS)]
TESTS += [(f"{heap}, glibc {glibc}", lambda heap=heap, glibc=glibc: as_predicted(heap, glibc))
          for heap, glibc in (("quiet", "system static"), ("brk-blocked", "2.44 static-pie"))]
TESTS += [(f"{test.__name__.replace('_', ' ')}, {heap}, glibc {glibc}", lambda test=test, heap=heap, glibc=glibc: test(heap, glibc))
          for test in (from_outside_only, without_rights_to_advise, confirmed_only)
          for heap, glibc in (("quiet", "system"), ("tops", "2.31"), ("one-kib-half", "system"), ("quiet", "2.43"))]
TESTS += [(f"as much as malloc_trim, glibc {glibc}", lambda glibc=glibc: all_as_malloc_trim(glibc)) for glibc in ("system", "2.44")]
TESTS += [(f"busy, confirmed only, {kind}, {threads} threads, glibc {glibc}",
           lambda kind=kind, threads=threads, glibc=glibc: busy(kind, threads, glibc, "--max-pause=1us"))
          for kind, threads, glibc in (("mixed", 0, "system"), ("mixed", 3, "system"), ("20000", 3, "2.44"), ("mixed", 3, "2.31"))]
TESTS += [
    ("RSS falls by what was returned", rss_falls_exactly),
    ("the charge falls as far", the_charge_falls),
    ("a full cgroup is not filled", a_full_cgroup_is_not_filled),
    ("what the kernel does not take as a whole", what_the_kernel_does_not_take_as_a_whole),
    ("what a fork shares is left", what_a_fork_shares_is_left),
]
TESTS += [(f"busy, {kind}, {threads} threads, glibc {glibc}",
           lambda kind=kind, threads=threads, glibc=glibc: busy(kind, threads, glibc))
          for kind, threads, glibc in (("mixed", 0, "system"), ("mixed", 3, "system"), ("20000", 3, "system"),
                                       ("mixed", 3, "2.31"), ("mixed", 3, "2.43"), ("mixed", 0, "2.41"))]
TESTS += [
    ("killed at every point, 3 threads", lambda: killed_everywhere(3)),
    ("killed at every point, one thread", lambda: killed_everywhere(0)),
    ("killed at every point while the process discards all", discarding_killed),
    ("killed at a busy process", lambda: killed("fill", ["mixed:64:3"], True)),
    ("killed at a busy process of one thread", lambda: killed("fill", ["mixed:64"], True)),
    ("killed at a quiet one", lambda: killed("quiet", [], False)),
]
tap.run(TESTS)
