#!/usr/bin/env python3
"""residue keep: settings change in a running process, do what they are to do, and go back; whatever happens to residue."""
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import kernel
import residue
import tap
from keeping import SETTINGS, STATES, changes, files_of, huge_pages_allowed, keep, settings
from processes import clean_environment, end, read_line, start, wait_until
from victims import Victim

LARGE, THRESHOLD = 8 << 20, 128 << 10


def huge_pages_go_and_come_back():
    with Victim("quiet") as victim:
        tap.equal("allowed before", huge_pages_allowed(victim.pid), 1)
        said = keep(victim.pid)
        tap.equal("changed", changes(said), {"huge_pages": ("allowed", "off")})
        tap.equal("allowed", huge_pages_allowed(victim.pid), 0)
        tap.equal("files", len(files_of(victim.pid)), 1)
        again = keep(victim.pid)
        tap.equal("changed again", (again["changed"], again["already"]), ([], ["huge-pages"]))
        assert "nothing was changed" in residue.run("keep", victim.pid).stdout
        victim.command("check")
        undone = keep(victim.pid, "--undo")
        tap.equal("undone", changes(undone), {"huge_pages": ("off", "allowed")})
        tap.equal("allowed afterwards", huge_pages_allowed(victim.pid), 1)
        tap.equal("files afterwards", files_of(victim.pid), [])
        tap.equal("undone again", keep(victim.pid, "--undo")["changed"], [])
        assert "nothing to set back" in residue.run("keep", "--undo", victim.pid).stdout
        victim.command("check")


FORKING = """
import os, sys
print("READY", flush=True)
sys.stdin.readline()
child = os.fork()
if child:
    print(child, flush=True)
sys.stdin.readline()
"""


def children_inherit_it():
    process = start(["python3", "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        read_line(process)
        keep(process.pid)
        process.stdin.write(b"\n")
        child = int(read_line(process))
        keep(process.pid, "--undo")
        tap.equal("allowed to the parent", huge_pages_allowed(process.pid), 1)
        tap.equal("allowed to the child", huge_pages_allowed(child), 0)
        assert "--undo does not reach them" in residue.run("keep", process.pid).stdout.replace("\n      ", " ")
    finally:
        end(process)


def what_is_asked_for_can_be_left():
    """This kernel's own answer is what is told: prctl returns it in the process."""
    with Victim("quiet") as victim:
        if kernel.release() < (6, 18):
            residue.fails(69, "keep", "--huge-pages=advised", victim.pid, says="Linux 6.18")
            return
        tap.equal("changed", changes(keep(victim.pid, "--huge-pages=advised")), {"huge_pages": ("allowed", "advised")})
        tap.equal("kept", keep(victim.pid, "--huge-pages=advised")["already"], ["huge-pages"])
        tap.equal("changed to none", changes(keep(victim.pid, "--huge-pages=none")), {"huge_pages": ("advised", "off")})
        tap.equal("undone", changes(keep(victim.pid, "--undo")), {"huge_pages": ("off", "allowed")})
        victim.command("check")


def others_changes_are_left():
    """What is set by somebody else since is neither undone nor forgotten to be told."""
    if kernel.release() < (6, 18):
        raise tap.Skip("needs a third state of PR_SET_THP_DISABLE, of Linux 6.18")
    with Victim("quiet") as victim:
        keep(victim.pid)
        written = STATES / files_of(victim.pid)[0]
        written.write_text(written.read_text().replace('"after": 1', '"after": 3'))
        residue.fails(69, "keep", "--undo", victim.pid, says="somebody else has set")
        tap.equal("allowed", huge_pages_allowed(victim.pid), 0)
        tap.equal("files", files_of(victim.pid), [])


def mapped(victim):
    return victim.info()["hblks"]


def maps_after_larger(victim, size=4 << 20):
    """Whether a block gets a mapping of its own after a larger one was freed. It must not fit into what is free."""
    before = mapped(victim)
    victim.command("take", "1", str(LARGE))
    victim.command("drop", "1")
    victim.command("take", "1", str(size))
    grew = mapped(victim) - before
    victim.command("drop", "1")
    return grew


def thresholds_are_pinned(glibc):
    with Victim("threads-few-survivors", glibc=glibc) as victim:
        tap.equal("mapped before", maps_after_larger(victim), 0)
        before = settings(victim.pid)
        assert before["dynamic_threshold"] and before["mmap_threshold"] >= LARGE, before
        said = keep(victim.pid, "--thresholds", "--huge-pages=leave", "--watch-for=0")
        tap.equal("mmap_threshold", changes(said)["mmap_threshold"], (before["mmap_threshold"], THRESHOLD))
        tap.equal("trim_threshold", changes(said)["trim_threshold"], (before["trim_threshold"], THRESHOLD))
        tap.equal("dynamic_threshold", changes(said)["dynamic_threshold"], (True, False))
        assert changes(said)["mmap_max"][1] < 65536 // 2 + 1000, said
        assert "MALLOC_MMAP_THRESHOLD_" in " ".join(said["start_lines"]["shell"]), said
        tap.equal("in force", settings(victim.pid), dict(zip(SETTINGS, [THRESHOLD, THRESHOLD, False])))
        for _ in range(3):
            tap.equal("mapped now", maps_after_larger(victim, 6 << 20), 1)
        tap.equal("still in force", settings(victim.pid), dict(zip(SETTINGS, [THRESHOLD, THRESHOLD, False])))
        victim.command("check")
        tap.equal("kept", keep(victim.pid, "--thresholds", "--huge-pages=leave")["already"], ["thresholds"])
        keep(victim.pid, "--undo")
        tap.equal("in force afterwards", settings(victim.pid), before)
        tap.equal("mapped afterwards", maps_after_larger(victim, 6 << 20), 0)
        tap.equal("files afterwards", files_of(victim.pid), [])
        victim.command("check")


def killed_at(victim, variable, number, before):
    """Whether it got there. Whatever had been done is undone."""
    environment = clean_environment(**{variable: str(number)})
    result = residue.run("keep", "--thresholds", "--watch-for=0", victim.pid, env=environment)
    assert result.returncode in (0, -signal.SIGKILL), result
    done = keep(victim.pid, "--undo")
    tap.equal("refusals", done["refusals"], [])
    tap.equal(f"in force after {variable}={number}", settings(victim.pid), before)
    tap.equal("huge pages allowed", huge_pages_allowed(victim.pid), 1)
    tap.equal("files", [name for name in files_of(victim.pid) if not name.endswith(".new")], [])
    victim.command("check")
    return result.returncode != 0


def a_half_done_keep_is_undone():
    with Victim("threads-few-survivors") as victim:
        maps_after_larger(victim)
        before = settings(victim.pid)
        number = 1
        while killed_at(victim, "RESIDUE_TEST_DIE_IN_KEEP", number, before):
            number += 1
        assert number > 10, number
        requests = [n for n in range(1, 200, 7) if killed_at(victim, "RESIDUE_TEST_DIE_AT", n, before)]
        assert len(requests) > 5, requests
        tap.note(f"killed at {number - 1} points of its own, and at {len(requests)} requests of the injection's")


def a_half_done_undo_is_undone():
    with Victim("threads-few-survivors") as victim:
        maps_after_larger(victim)
        before, number, killed = settings(victim.pid), 0, True
        while killed:
            number += 1
            keep(victim.pid, "--thresholds", "--watch-for=0")
            result = residue.run("keep", "--undo", victim.pid,
                                 env=clean_environment(RESIDUE_TEST_DIE_IN_KEEP=str(number)))
            killed = result.returncode == -signal.SIGKILL
            assert killed or result.returncode == 0, result
            keep(victim.pid, "--undo")
            tap.equal("in force", settings(victim.pid), before)
            tap.equal("huge pages allowed", huge_pages_allowed(victim.pid), 1)
        assert number > 5, number
        victim.command("check")


CHURN = """
import sys
print("READY", flush=True)
while True:
    for _ in range(10):
        block = b"x" * (8 << 20)
        del block
"""


def what_costs_too_much_is_taken_back():
    process = start(["python3", "-c", CHURN], stdout=subprocess.PIPE, bufsize=0)
    try:
        read_line(process)
        wait_until("the threshold has risen", lambda: settings(process.pid)["mmap_threshold"] >= LARGE)
        before = settings(process.pid)
        said = keep(process.pid, "--thresholds", code=1)
        assert said["cost"]["taken_back"] and said["cost"]["cpu_percent"] > 2, said
        tap.equal("changed", changes(said), {"huge_pages": ("allowed", "off")})
        tap.equal("in force", settings(process.pid), before)
        tap.note(f"faults took {said['cost']['cpu_percent']:.0f} % of a processor; taken back after "
                 f"{said['cost']['watched_ns'] / 1e9:.1f} s")
        tap.equal("undone", changes(keep(process.pid, "--undo")), {"huge_pages": ("off", "allowed")})
        tap.equal("files", files_of(process.pid), [])
    finally:
        end(process)


def what_was_set_at_start_is_left():
    with Victim("quiet", MALLOC_MMAP_THRESHOLD_=str(1 << 20)) as victim:
        residue.fails(69, "keep", "--thresholds", "--huge-pages=leave", victim.pid, says="has set them already")
        said = keep(victim.pid, "--thresholds", code=1)
        tap.equal("refused", [refusal["what"] for refusal in said["refusals"]], ["thresholds"])
        tap.equal("changed", list(changes(said)), ["huge_pages"])
        tap.equal("threshold", settings(victim.pid)["mmap_threshold"], 1 << 20)
    with Victim("quiet", MALLOC_MMAP_THRESHOLD_=str(THRESHOLD), MALLOC_TRIM_THRESHOLD_=str(THRESHOLD)) as victim:
        tap.equal("kept", keep(victim.pid, "--thresholds", "--huge-pages=leave")["already"], ["thresholds"])
    with Victim("quiet", GLIBC_TUNABLES="glibc.malloc.hugetlb=2") as victim:
        residue.fails(69, "keep", "--thresholds", "--huge-pages=leave", victim.pid, says="glibc.malloc.hugetlb=2")


def other_allocators_are_refused():
    library = next(Path("/usr/lib").glob("*/libjemalloc.so.2"), None)
    if not library:
        raise tap.Skip("libjemalloc2 is not installed")
    process = start(["python3", "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                    env=clean_environment(LD_PRELOAD=str(library)))
    try:
        read_line(process)
        residue.fails(69, "keep", "--thresholds", "--huge-pages=leave", process.pid, says="no heap of glibc's malloc")
    finally:
        end(process)


def hostile_states_are_not_believed():
    with Victim("quiet") as victim:
        keep(victim.pid)
        written = STATES / files_of(victim.pid)[0]
        for text in ("", "{}", written.read_text()[:-5], written.read_text().replace('"before": 0', '"before": 2')):
            written.write_text(text)
            residue.fails(69, "keep", "--undo", victim.pid, says="it is not believed")
            residue.fails(69, "keep", victim.pid, says="it is not believed")
            tap.equal("allowed", huge_pages_allowed(victim.pid), 0)
        written.unlink()
        victim.command("check")


def files_of_the_dead_go():
    with Victim("quiet") as victim:
        keep(victim.pid)
        tap.equal("files", len(files_of(victim.pid)), 1)
    with Victim("quiet") as other:
        keep(other.pid)
        tap.equal("files of the dead", files_of(victim.pid), [])
        tap.equal("files of the living", len(files_of(other.pid)), 1)
        keep(other.pid, "--undo")


def an_interrupt_ends_the_watch():
    with Victim("quiet") as victim:
        child = start([residue.RESIDUE, "keep", "--json", "--thresholds", "--watch-for=10min", str(victim.pid)],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until("thresholds are set", lambda: "static" in "".join(
                (STATES / name).read_text() for name in files_of(victim.pid) if not name.endswith(".new")))
            wait_until("it runs", lambda: not settings(victim.pid)["dynamic_threshold"])
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=60)
        finally:
            end(child)
        said = json.loads(out)
        assert said["interrupted"] and child.returncode == 0, (said, child.returncode)
        tap.equal("changed", changes(said)["dynamic_threshold"], (True, False))
        keep(victim.pid, "--undo")


def a_busy_process_is_none_the_worse():
    """RESIDUE_CHAOS_ROUNDS makes it long."""
    with Victim("churn") as victim:
        for _ in range(int(os.environ.get("RESIDUE_CHAOS_ROUNDS", 100)) // 10):
            keep(victim.pid, "--thresholds", "--watch-for=0")
            victim.command("check")
            keep(victim.pid, "--undo")
            victim.command("check")


def is_traced(pid):
    """Or about to be: whoever outlives one that was killed has the same arguments."""
    if any("TracerPid:\t0\n" not in (task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()):
        return True
    for other in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (other / "cmdline").read_bytes().split(b"\0")
            if words[:2] == [residue.RESIDUE.encode(), b"keep"] and str(pid).encode() in words:
                return True
    return False


def a_kill_at_any_time_is_undone():
    """At random, in a busy process of several threads. RESIDUE_CHAOS_KILLS makes it long."""
    numbers, killed = random.Random(7), 0
    with Victim("churn") as victim:
        before = settings(victim.pid)["dynamic_threshold"]
        for _ in range(int(os.environ.get("RESIDUE_CHAOS_KILLS", 20))):
            child = start([residue.RESIDUE, "keep", "--thresholds", "--watch-for=0", "-q", str(victim.pid)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(numbers.uniform(0.001, 0.1))
            killed += child.poll() is None
            end(child)
            keep(victim.pid, "--undo")
            wait_until("whoever outlives the killed one is through", lambda: not is_traced(victim.pid))
            tap.equal("dynamic", settings(victim.pid)["dynamic_threshold"], before)
            tap.equal("huge pages allowed", huge_pages_allowed(victim.pid), 1)
            victim.command("check")
    tap.note(f"killed {killed} times")


def syslog_has_it():
    if os.geteuid() or Path("/dev/log").exists():
        raise tap.Skip("needs root, and a system without a syslog of its own")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, Victim("quiet") as victim:
        try:
            log.bind("/dev/log")
            log.settimeout(60)
            keep(victim.pid)
            lines = []
            while not any("has set" in line and f"process {victim.pid} " in line for line in lines):
                lines.append(log.recv(4096).decode())
        finally:
            os.unlink("/dev/log")
        keep(victim.pid, "--undo")
    told = [line for line in lines if f"process {victim.pid} (heap-victim)" in line and "huge_pages from 0 to 1" in line]
    assert len(told) == 2 and "sets" in told[0], lines
    assert any("prctl" in line for line in lines), lines


def whoever_has_no_place_to_write_is_told():
    if os.geteuid():
        raise tap.Skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as directory:
        program = residue.copy_for_all(directory)
        os.mkdir(f"{directory}/closed", 0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "keep", str(os.getpid())]
        for runtime, code, says in (None, 69, "XDG_RUNTIME_DIR"), ("relative", 69, "XDG_RUNTIME_DIR"), \
                (f"{directory}/closed", 77, "cannot be made"):
            environment = clean_environment(**({"XDG_RUNTIME_DIR": runtime} if runtime else {}))
            if not runtime:
                environment.pop("XDG_RUNTIME_DIR", None)
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert result.returncode == code and says in result.stderr, result
        os.mkdir(f"{directory}/own", 0o700)
        os.chown(f"{directory}/own", 65534, 65534)
        result = subprocess.run(command, env=clean_environment(XDG_RUNTIME_DIR=f"{directory}/own"), capture_output=True,
                                text=True, check=False)
        assert result.returncode == 77 and result.stderr.count("\n") == 1, result


tap.run([
    ("huge pages go and come back", huge_pages_go_and_come_back),
    ("children inherit it", children_inherit_it),
    ("what is asked for can be left", what_is_asked_for_can_be_left),
    ("others' changes are left", others_changes_are_left),
    *[(f"thresholds are pinned, glibc {glibc}", lambda glibc=glibc: thresholds_are_pinned(glibc))
      for glibc in ("system", "2.31", "2.41", "2.44")],
    ("a half-done keep is undone", a_half_done_keep_is_undone),
    ("a half-done undo is undone", a_half_done_undo_is_undone),
    ("what costs too much is taken back", what_costs_too_much_is_taken_back),
    ("what was set at start is left", what_was_set_at_start_is_left),
    ("other allocators are refused", other_allocators_are_refused),
    ("hostile states are not believed", hostile_states_are_not_believed),
    ("files of the dead go", files_of_the_dead_go),
    ("an interrupt ends the watch", an_interrupt_ends_the_watch),
    ("a busy process is none the worse", a_busy_process_is_none_the_worse),
    ("a kill at any time is undone", a_kill_at_any_time_is_undone),
    ("syslog has it", syslog_has_it),
    ("whoever has no place to write is told", whoever_has_no_place_to_write_is_told),
])
