#!/usr/bin/env python3
"""Many processes at once: --cgroup on a cgroup of the test's own, --all without touching what is not the test's."""
import contextlib
import json
import os
import subprocess
import tempfile

import cgroups
import kernel
import residue
import tap
from processes import end, read_line, start, wait_until
from victims import program

NO_PERMISSION = 77
NOBODY = 65534
SLACK = 1 << 20


@contextlib.contextmanager
def victim_in(group, heap, *arguments):
    process = start(group.command(program("system"), heap, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    bufsize=0)
    try:
        while not read_line(process).startswith("READY"):
            pass
        wait_until("it sleeps", lambda: kernel.state(process.pid)[0] == "S")
        yield process
    finally:
        end(process)


def survey(*arguments, **options):
    for _ in range(20):
        result = residue.run("why", "--json", *arguments, **options)
        assert result.returncode == 0, f"exit code {result.returncode}: {result.stderr}"
        said = json.loads(result.stdout)
        late = [process["not_explained"] for process in said["processes"]
                if "did not stop within" in (process["not_explained"] or "")]
        if not late:
            break
        tap.note(late)
    assert said["format"] == "residue.why-all/1", said["format"]
    return said


def check_sums(said):
    for key in ("rss_bytes", "anon_bytes", "file_bytes", "shmem_bytes", "swap_bytes"):
        tap.equal(f"the sum of {key}", said["totals"][key], sum(process[key] for process in said["processes"]))
    for process in said["processes"]:
        tap.equal("the parts of RSS", process["anon_bytes"] + process["file_bytes"] + process["shmem_bytes"],
                  process["rss_bytes"])
    known = [process["returnable_bytes"] for process in said["processes"] if process["returnable_bytes"] is not None]
    assert known == sorted(known, reverse=True), known


def returnable(why):
    ledger = why["ledger"]
    return (ledger["heap.free.returnable"] + ledger["zero.huge"] + ledger["zero.small"] + why["heap_live_zero_bytes"])


def check_victim(row):
    """It holds still, so that a look at it alone says the same."""
    alone = residue.why(row["pid"])
    assert row["decoded"] and row["comm"] == "heap-victim", row
    tap.equal("its ledger", row["why"]["ledger"], alone["ledger"])
    tap.equal("RSS", row["rss_bytes"], kernel.rss(row["pid"]))
    tap.equal("anonymous memory", row["anon_bytes"], kernel.smaps_rollup(row["pid"])["Anonymous"])
    tap.equal("what can go back", row["returnable_bytes"], returnable(alone))
    tap.equal("what a trim would return", row["trim_would_return_bytes"], alone["trim_would_return_bytes"])
    assert row["returnable_bytes"] > 0, row["why"]["ledger"]


def a_cgroup():
    with cgroups.group() as (outer, inner), victim_in(outer, "one-kib-half") as first, \
            victim_in(inner, "threads-few-survivors") as second:
        outer.limit(1 << 30)
        wait_until("statistics catch up with the charge", lambda: outer.anon() > outer.charge() - (8 << 20))
        for name in (outer.directory, cgroups.path_of(first.pid)):
            before = outer.charge()
            said = survey(f"--cgroup={name}")
            after = outer.charge()
            tap.equal("the processes", {row["pid"] for row in said["processes"]}, {first.pid, second.pid})
            check_sums(said)
            for row in said["processes"]:
                check_victim(row)
            group = said["cgroup"]
            tap.equal("the directory", group["directory"], str(outer.directory))
            tap.equal("the limit", group["limit_bytes"], 1 << 30)
            # Each processor has charged some pages in advance, and gives them back when it likes.
            assert min(before, after) - SLACK < group["charge_bytes"] < max(before, after) + SLACK, (before, group, after)
            tap.equal("the room", group["room_bytes"], (1 << 30) - group["charge_bytes"])
            tap.equal("the room after", group["room_after_bytes"],
                      group["room_bytes"] + said["totals"]["returnable_charge_bytes"])
            assert abs(group["anon_bytes"] - outer.anon()) < SLACK, (group, outer.anon())
            assert group["not_in_rss_bytes"] < 8 << 20 and group["unnamed_bytes"] < 8 << 20, group
            assert group["anon_bytes"] > said["totals"]["returnable_charge_bytes"], group
        tap.equal("those further down", [row["pid"] for row in survey(f"--cgroup={inner.directory}")["processes"]],
                  [second.pid])


def what_people_see():
    with cgroups.group() as (outer, _), victim_in(outer, "one-kib-half") as victim:
        outer.limit(1 << 30)
        result = residue.run("why", f"--cgroup={outer.directory}")
    text = " ".join(result.stdout.split())
    tap.note(result.stdout)
    tap.equal("the exit code", result.returncode, 0)
    assert f"cgroup {'/' + outer.directory.name} " in text and "to the limit RSS" in text, text
    assert "charged can go back now; that would leave" in text and f" {victim.pid} heap-victim " in text, text
    assert "1 process was paused" in text, text


def the_largest_first():
    """--top is of how many: the others are only counted, and never stopped."""
    with cgroups.group() as (outer, _), victim_in(outer, "one-kib-half") as large, \
            victim_in(outer, "small-fastbins") as small:
        wanted = sorted((large.pid, small.pid), key=lambda pid: -kernel.smaps_rollup(pid)["Anonymous"])
        rows = {row["pid"]: row for row in survey(f"--cgroup={outer.directory}", "--top=1")["processes"]}
        assert rows[wanted[0]]["decoded"] and rows[wanted[1]]["why"] is None, rows
        tap.equal("pauses of none", survey(f"--cgroup={outer.directory}", "--top=0")["pauses"]["count"], 0)
        said = survey(f"--cgroup={outer.directory}", "--no-stop")
        tap.equal("pauses without a stop", said["pauses"]["count"], 0)
        assert all(row["why"]["stopped"] is False for row in said["processes"]), said


def nobody_in_it():
    with cgroups.group() as (outer, _):
        said = survey(f"--cgroup={outer.directory}")
        tap.equal("processes", said["processes"], [])
        result = residue.run("why", "-q", f"--cgroup={outer.directory}")
        tap.equal("the exit code", result.returncode, 0)


def without_rights():
    if os.geteuid() != 0:
        raise tap.Skip("only root can be somebody else")
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
    with cgroups.group() as (outer, _), victim_in(outer, "quiet"), tempfile.TemporaryDirectory() as directory:
        original, residue.RESIDUE = residue.RESIDUE, str(residue.copy_for_all(directory))
        try:
            residue.fails(NO_PERMISSION, "why", f"--cgroup={outer.directory}",
                          says="1 of other users: run as root, or with CAP_SYS_PTRACE", **user)
            child = start(["sleep", "600"], **user)
            said = survey("--all", "--top=0", **user)
            end(child)
        finally:
            residue.RESIDUE = original
    assert child.pid in [row["pid"] for row in said["processes"]], said["processes"]
    assert any(group["who"] == "of other users" and group["processes"] > 0 and group["rss_bytes"] > 0
               for group in said["unreadable"]), said["unreadable"]


def all_of_this_machine():
    """Others come and go meanwhile; nothing is stopped, as they are not the test's."""
    with cgroups.group() as (outer, _), victim_in(outer, "quiet") as victim:
        said = survey("--all", "--no-stop", "--top=3")
        check_sums(said)
        tap.equal("pauses", said["pauses"]["count"], 0)
        assert said["totals"]["decoded"] <= 3, said["totals"]
        pids = [row["pid"] for row in said["processes"]]
        assert victim.pid in pids and os.getpid() in pids and len(pids) == len(set(pids)), pids
        for pid in pids:
            with contextlib.suppress(OSError):
                assert not kernel.state(pid)[1] & kernel.PF_KTHREAD, pid
        for row in said["processes"]:
            assert row["pid"] != 1 or row["why"] is None, row
    tap.note(f"{len(pids)} processes in {said['elapsed_ns'] / 1e6:.0f} ms, {said['totals']['decoded']} decoded")


tap.run([
    ("the processes of a cgroup, and its charge", a_cgroup),
    ("what people see of a cgroup", what_people_see),
    ("the largest, none, and without a stop", the_largest_first),
    ("a cgroup with nobody in it", nobody_in_it),
    ("as a user without rights", without_rights),
    ("every process of this machine", all_of_this_machine),
])
