#!/usr/bin/env python3
"""residue reclaim: what was predicted comes back, no byte of the process changes, and what must stay stays."""
import json
import os
import signal
import subprocess

import cgroups
import kernel
import residue
import tap
from processes import end, start, wait_until
from victims import HUGE_GLIBCS, HUGE_TUNABLE, Victim

HUGE_PAGES, LENGTH = 16, 16 * kernel.HUGE
WRITTEN = 2 * HUGE_PAGES * kernel.PAGE   # the page in the middle and one more, which are never the same page
SLACK = 64 * kernel.PAGE * (os.cpu_count() + 1)   # each CPU may keep so much of a charge at hand


def reclaim(pid, *arguments, code=0, **options):
    """What `residue reclaim --json` says, checked."""
    result = residue.run("reclaim", "--json", "--only=zero-pages", *arguments, pid, **options)
    assert result.returncode == code, f"exit code {result.returncode}: {result.stderr}{result.stdout}"
    said = json.loads(result.stdout)
    assert said["format"] == "residue.reclaim/1" and said["pid"] == int(pid), said
    return said


def cure(said, name="zero-pages"):
    return next(each for each in said["cures"] if each["name"] == name)


class Inflated(Victim):
    """A victim with a region of huge pages; skips where there are none."""

    def __init__(self, state, **options):
        super().__init__("inflated", state, **options)

    def __enter__(self):
        super().__enter__()
        start_text, length = self.remarks[-1].split()[1:]
        self.start, self.length = int(start_text, 16), int(length)
        if self.huge_bytes() < self.length:
            self.__exit__()
            raise tap.Skip("this kernel gave no huge pages to madvise(MADV_HUGEPAGE)")
        return self

    def huge_bytes(self):
        return sum(fields.get("AnonHugePages", 0) for at, to, _, fields in kernel.smaps(self.pid)
                   if at < self.start + self.length and to > self.start)


def needs_splitting():
    if kernel.release() < (6, 12):
        raise tap.Skip("huge pages drop their zeros when split only since Linux 6.12")


def zeros_come_back():
    needs_splitting()
    with Inflated("still") as victim:
        before = kernel.rss(victim.pid)
        dry = reclaim(victim.pid, "--dry-run")
        tap.equal("RSS after a dry run", kernel.rss(victim.pid), before)
        tap.equal("huge bytes after a dry run", victim.huge_bytes(), LENGTH)
        expected = LENGTH - WRITTEN
        tap.equal("predicted dry", cure(dry)["predicted_rss_bytes"], expected)
        said = reclaim(victim.pid)
        tap.equal("predicted", cure(said)["predicted_rss_bytes"], expected)
        tap.equal("returned", cure(said)["returned_rss_bytes"], expected)
        tap.equal("rss_before_bytes", said["rss_before_bytes"], before)
        tap.equal("RSS", kernel.rss(victim.pid), before - expected)
        tap.equal("rss_after_bytes", said["rss_after_bytes"], before - expected)
        tap.equal("huge pages split", cure(said)["huge_pages_split"], HUGE_PAGES)
        tap.equal("pauses", said["pauses"]["count"], 0)
        tap.equal("skipped", cure(said)["skipped"], [])
        victim.command("check")
        again = reclaim(victim.pid)
        tap.equal("predicted again", cure(again)["predicted_rss_bytes"], 0)


def the_charge_falls():
    needs_splitting()
    with cgroups.group() as (_, group):
        with Inflated("still", group=group) as victim:
            expected, before = LENGTH - WRITTEN, group.charge()
            said = reclaim(victim.pid)
            fell = before - group.charge()
            tap.note(f"the charge fell by {fell}, {expected} was predicted, {cure(said)['returned_charge_bytes']} told")
            for figure in fell, cure(said)["returned_charge_bytes"]:
                assert abs(figure - expected) <= expected // 100 + SLACK, (figure, expected)
            tap.equal("predicted", cure(said)["predicted_charge_bytes"], expected)
            victim.command("check")


def nothing_is_lost_of_a_busy_process():
    """It writes zeros, too, and into pages that have just gone; it checks what it reads all the time."""
    needs_splitting()
    with Inflated("busy") as victim:
        for _ in range(10):
            result = residue.run("reclaim", "--json", "--only=zero-pages", victim.pid)
            assert result.returncode in (0, 1), result
            victim.command("check")
        tap.note(f"last: {cure(json.loads(result.stdout))}")


def is_left(state, says):
    """Nothing goes, and the reason is told."""
    needs_splitting()
    with Inflated(state) as victim:
        before = kernel.rss(victim.pid)
        said = reclaim(victim.pid)
        told = cure(said)
        tap.equal("predicted", told["predicted_rss_bytes"], 0)
        tap.equal("RSS", kernel.rss(victim.pid), before)
        tap.equal("huge bytes", victim.huge_bytes(), LENGTH)
        found = [skip for skip in told["skipped"] if says in skip["reason"]]
        assert found and sum(skip["bytes"] for skip in found) > LENGTH // 10, told
        text = residue.run("reclaim", "--only=zero-pages", victim.pid).stdout
        assert "nothing of it can come back" in text and "left: " in text, text
        victim.command("check")


def few_zeros_are_left():
    needs_splitting()
    is_left("dense", "less than 25 % of its huge page")
    with Inflated("dense") as victim:
        said = reclaim(victim.pid, "--split-from=10")
        tap.equal("split", cure(said)["huge_pages_split"], HUGE_PAGES)
        tap.equal("returned", cure(said)["returned_rss_bytes"], cure(said)["predicted_rss_bytes"])
        assert cure(said)["returned_rss_bytes"] > LENGTH // 6, said
        victim.command("check")


def little_is_not_worth_it():
    needs_splitting()
    with Inflated("still") as victim:
        said = reclaim(victim.pid, "--min-bytes=1G")
        assert said["below_min_bytes"] and not cure(said)["applied"], said
        tap.equal("huge bytes", victim.huge_bytes(), LENGTH)
        text = residue.run("reclaim", "--only=zero-pages", "--min-bytes=1G", victim.pid).stdout
        assert "nothing was done" in text, text


def it_is_watched():
    needs_splitting()
    with Inflated("still") as victim:
        said = reclaim(victim.pid, "--watch-for=1500ms")
        tap.equal("RSS in the end", said["after"][-1]["rss_bytes"], kernel.rss(victim.pid))
        assert len(said["after"]) == 3 and said["after"][-1]["seconds"] >= 1.5, said["after"]
        tap.equal("faults of a sleeper", said["after"][-1]["minor_faults"], 0)
    with Inflated("busy") as victim:
        said = json.loads(residue.run("reclaim", "--json", "--watch-for=1", victim.pid).stdout)
        assert said["after"][-1]["minor_faults"] > 0, said["after"]


def an_interrupt_is_no_loss():
    """Ctrl-C ends the watch, and all is reported."""
    needs_splitting()
    with Inflated("still") as victim:
        child = start([residue.RESIDUE, "reclaim", "--json", "--watch-for=10min", str(victim.pid)],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until("it has been split", lambda: victim.huge_bytes() == 0)
            wait_until("it sleeps", lambda: kernel.state(child.pid)[0] == "S")
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=60)
        finally:
            end(child)
        said = json.loads(out)
        tap.equal("returned", cure(said)["returned_rss_bytes"], LENGTH - WRITTEN)
        assert said["interrupted"] and child.returncode == 0, (said, child.returncode)


def capabilities_are_named():
    needs_splitting()
    with Inflated("still") as victim:
        bare = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]
        result = residue.run("reclaim", "--only=zero-pages", victim.pid, before=bare)
        if result.returncode == 1 and "setpriv" in result.stderr:
            raise tap.Skip(f"capabilities cannot be dropped here: {result.stderr.strip()}")
        assert result.returncode == 77 and "CAP_SYS_NICE" in result.stderr and result.stdout == "", result
        assert result.stderr.count("\n") == 1, result.stderr
        tap.equal("huge bytes", victim.huge_bytes(), LENGTH)


def both_cures(glibc):
    """A heap in huge pages, of which much is free and much of what is in use was never written to."""
    needs_splitting()
    with Victim("huge-heap", glibc=glibc, **HUGE_TUNABLE) as victim:
        if not sum(fields.get("AnonHugePages", 0) for *_, fields in kernel.smaps(victim.pid)):
            raise tap.Skip("this kernel gave no huge pages to the heap")
        before = kernel.rss(victim.pid)
        said = json.loads(residue.run("reclaim", "--json", victim.pid).stdout)
        tap.note([(each["name"], each["predicted_rss_bytes"], each["returned_rss_bytes"], each["skipped"]) for each in said["cures"]])
        for each in said["cures"]:
            tap.equal(f"returned by {each['name']}", each["returned_rss_bytes"], each["predicted_rss_bytes"])
        assert sum(each["returned_rss_bytes"] for each in said["cures"]) > before // 3, said
        assert before - kernel.rss(victim.pid) >= sum(each["returned_rss_bytes"] for each in said["cures"]), said
        victim.command("check")
        tap.equal("exit code", victim.quit(), 0)


def a_process_without_huge_pages():
    with Victim("quiet") as victim:
        said = reclaim(victim.pid)
        tap.equal("predicted", cure(said)["predicted_rss_bytes"], 0)
        victim.command("check")


tap.run([
    ("zeros come back", zeros_come_back),
    ("the charge falls as far", the_charge_falls),
    ("nothing is lost of a busy process", nothing_is_lost_of_a_busy_process),
    ("locked memory is left", lambda: is_left("locked", "locked in memory")),
    ("memory watched by userfaultfd is left", lambda: is_left("watched", "userfaultfd")),
    ("pinned memory is left", lambda: is_left("pinned", "VmPin")),
    ("memory that a process shares is left", lambda: is_left("shared", "shares its memory")),
    ("memory that forks share is left", lambda: is_left("forked", "a fork shares it")),
    ("few zeros are left", few_zeros_are_left),
    ("little is not worth it", little_is_not_worth_it),
    ("it is watched", it_is_watched),
    ("an interrupt is no loss", an_interrupt_is_no_loss),
    ("capabilities are named", capabilities_are_named),
    *[(f"both cures, glibc {glibc}", lambda glibc=glibc: both_cures(glibc)) for glibc in HUGE_GLIBCS],
    ("a process without huge pages", a_process_without_huge_pages),
])
