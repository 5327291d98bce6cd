#!/usr/bin/env python3
"""residue keep: settings change in a running process, do what they are to do, and go back; whatever happens to residue."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import cgroups
import kernel
import residue
import tap
from processes import clean_environment, end, read_line, start, wait_until
from victims import Victim

HUGE_PAGES, LENGTH = 16, 16 * kernel.HUGE   # of the inflated victim
LARGE, THRESHOLD = 8 << 20, 128 << 10
SETTINGS = ["mmap_threshold", "trim_threshold", "dynamic_threshold"]
THP = Path("/sys/kernel/mm/transparent_hugepage")

if os.geteuid() == 0:
    STATES = Path("/run/residue")
else:
    _runtime = tempfile.TemporaryDirectory()
    os.environ["XDG_RUNTIME_DIR"] = _runtime.name
    STATES = Path(_runtime.name, "residue")


def keep(pid, *arguments, code=0, **options):
    """What `residue keep --json` says, checked."""
    for _ in range(20):
        result = residue.run("keep", "--json", *arguments, pid, **options)
        if not (residue.not_in_time(result) or "is being traced by" in result.stderr):   # by who outlives a killed one
            break
        time.sleep(0.05)
    assert result.returncode == code, f"exit code {result.returncode}: {result.stderr}{result.stdout}"
    said = json.loads(result.stdout)
    assert said["format"] == "residue.keep/1" and said["pid"] == int(pid), said
    return said


def changes(said):
    return {change["setting"]: (change["before"], change["after"]) for change in said["changed"]}


def huge_pages_allowed(pid):
    return kernel.status(pid)["THP_enabled"]


def settings(pid):
    said = residue.why(pid)["settings"]
    return {name: said[name] for name in SETTINGS}


def files_of(pid):
    return sorted(path.name for path in STATES.glob(f"keep-{pid}-*"))


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


@contextlib.contextmanager
def eager_khugepaged():
    """The system's settings come back however this is left."""
    wanted = {"khugepaged/scan_sleep_millisecs": "0", "khugepaged/alloc_sleep_millisecs": "0",
              "khugepaged/pages_to_scan": "65536", "khugepaged/max_ptes_none": "511"}
    before = {}
    try:
        for name, value in wanted.items():
            before[name] = (THP / name).read_text()
            (THP / name).write_text(value)
        yield
    except OSError as error:
        raise tap.Skip(f"khugepaged cannot be set up here: {error}") from error
    finally:
        for name, value in before.items():
            (THP / name).write_text(value)


class Inflated(Victim):
    def __init__(self):
        super().__init__("inflated", "still")

    def huge_bytes(self):
        start_text, length = self.remarks[-1].split()[1:]
        first = int(start_text, 16)
        return sum(fields.get("AnonHugePages", 0) for at, to, _, fields in kernel.smaps(self.pid)
                   if at < first + int(length) and to > first)

    def touch(self):
        self.command("check")
        return self.huge_bytes()


def scans():
    return int((THP / "khugepaged/full_scans").read_text())


def khugepaged_does_not_refill():
    if kernel.release() < (6, 12):
        raise tap.Skip("huge pages drop their zeros when split only since Linux 6.12")
    with eager_khugepaged(), Inflated() as victim, Inflated() as kept:
        if kept.huge_bytes() < LENGTH:
            raise tap.Skip("this kernel gave no huge pages to madvise(MADV_HUGEPAGE)")
        said = keep(kept.pid)
        tap.equal("huge bytes that stay", said["huge_bytes"], LENGTH)
        for each in victim, kept:
            assert residue.run("reclaim", "--only=zero-pages", each.pid).returncode == 0
        after = kernel.rss(kept.pid)
        tap.equal("huge bytes of what is kept", kept.huge_bytes(), 0)
        wait_until("khugepaged refills where nothing is kept", lambda: victim.touch() == LENGTH)
        target = scans() + 20
        while scans() < target:
            tap.equal("huge bytes of what is kept", kept.touch(), 0)
        tap.equal("RSS of what is kept", kernel.rss(kept.pid), after)
        keep(kept.pid, "--undo")
        wait_until("khugepaged refills after an undo", lambda: kept.touch() == LENGTH)


def it_is_given_back_again_and_again():
    with Victim("quiet", MALLOC_TRIM_THRESHOLD_=str(1 << 30)) as victim:
        child = start([residue.RESIDUE, "keep", "--json", "--every=1s", str(victim.pid)],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until("it keeps", lambda: huge_pages_allowed(victim.pid) == 0)
            for _ in range(2):
                victim.command("take", "400", "100000")
                full = kernel.rss(victim.pid)
                victim.command("drop", "400")
                wait_until("it came back", lambda full=full: kernel.rss(victim.pid) < full - (35 << 20))
                victim.command("check")
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=60)
        finally:
            end(child)
        assert child.returncode == 0, (child.returncode, out)
        every = json.loads(out)["every"]
        assert every["rounds"] > 1 and not every["process_ended"], every
        assert every["returned_rss_bytes"] > 70 << 20 and every["pauses"]["count"] > 1, every
        assert every["in_use_again_bytes"] <= every["returned_rss_bytes"], every
        tap.note(every)
        keep(victim.pid, "--undo")


THRASH = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    while True:
        for at in range(0, len(view), 4096):
            view[at]
"""


def watches_pressure(pid):
    """From the end of the first round on."""
    with contextlib.suppress(OSError):
        return any("pressure" in os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def stalls():
    return int(Path("/proc/pressure/memory").read_text().split("total=")[1].split()[0])


def pressure_is_not_waited_for():
    """Readers of a file that is larger than their cgroup make the kernel tell that it is pressed."""
    if not os.access("/proc/pressure/memory", os.W_OK):
        raise tap.Skip("this kernel has no /proc/pressure/memory, or it may not be written to")
    with contextlib.ExitStack() as stack:
        _, group = stack.enter_context(cgroups.group())
        file = stack.enter_context(tempfile.NamedTemporaryFile(dir="/var/tmp"))
        file.write(os.urandom(100 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)   # to be charged to its readers
        victim = stack.enter_context(Victim("quiet", MALLOC_TRIM_THRESHOLD_=str(1 << 30)))
        victim.command("take", "400", "100000")
        full = kernel.rss(victim.pid)
        victim.command("drop", "400")
        child = start([residue.RESIDUE, "keep", "--json", "--every=10min", str(victim.pid)],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stack.callback(lambda: end(child))
        wait_until("the first round is made", lambda: kernel.rss(victim.pid) < full - (35 << 20))
        wait_until("it waits", lambda: watches_pressure(child.pid))
        low = kernel.rss(victim.pid)
        victim.command("take", "400", "100000")
        victim.command("drop", "400")
        full = kernel.rss(victim.pid)
        assert full > low + (35 << 20), (low, full)
        group.limit(40 << 20)
        for _ in range(4):
            reader = start(group.command("python3", "-c", THRASH, file.name))
            stack.callback(lambda reader=reader: end(reader))
        before, deadline = stalls(), time.monotonic() + 60
        while kernel.rss(victim.pid) > full - (35 << 20):
            if time.monotonic() > deadline and stalls() - before < 60e6 * 0.15:
                raise tap.Skip(f"the kernel was not pressed: {(stalls() - before) / 6e5:.1f} % of the time")
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        said = json.loads(child.communicate(timeout=60)[0])["every"]
        assert said["pressures"] > 0 and said["pressure_of"] in ("system", "cgroup"), said
        tap.note(said)
        victim.command("check")
        keep(victim.pid, "--undo")


def the_end_of_the_process_ends_it():
    with Victim("quiet", MALLOC_TRIM_THRESHOLD_=str(1 << 30)) as victim:
        victim.command("take", "400", "100000")
        full = kernel.rss(victim.pid)
        victim.command("drop", "400")
        child = start([residue.RESIDUE, "keep", "--json", "--every=1s", str(victim.pid)],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until("it came back", lambda: kernel.rss(victim.pid) < full - (35 << 20))
            victim.quit()
            out, _ = child.communicate(timeout=60)
        finally:
            end(child)
        said = json.loads(out)
        assert child.returncode == 0 and said["every"]["process_ended"], (child.returncode, said)


def a_busy_process_is_none_the_worse():
    with Victim("churn") as victim:
        for _ in range(10):
            assert residue.run("keep", "--thresholds", "--watch-for=0", "-q", victim.pid).returncode == 0
            victim.command("check")
            keep(victim.pid, "--undo")
            victim.command("check")


def syslog_has_it():
    if os.geteuid() or Path("/dev/log").exists():
        raise tap.Skip("needs root, and a system without a syslog of its own")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, Victim("quiet") as victim:
        try:
            log.bind("/dev/log")
            log.settimeout(60)
            keep(victim.pid)
            lines = []
            while not lines or "has set" not in lines[-1]:
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
    ("khugepaged does not refill", khugepaged_does_not_refill),
    ("a busy process is none the worse", a_busy_process_is_none_the_worse),
    ("it is given back again and again", it_is_given_back_again_and_again),
    ("pressure is not waited for", pressure_is_not_waited_for),
    ("the end of the process ends it", the_end_of_the_process_ends_it),
    ("syslog has it", syslog_has_it),
    ("whoever has no place to write is told", whoever_has_no_place_to_write_is_told),
])
