#!/usr/bin/env python3
"""What was given back stays away: khugepaged does not refill it, and residue keep --every gives it back again."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import cgroups
import kernel
import residue
import tap
from keeping import huge_pages_allowed, keep
from processes import end, start, wait_until
from victims import Victim

HUGE_PAGES, LENGTH = 16, 16 * kernel.HUGE   # of the inflated victim
THP = Path("/sys/kernel/mm/transparent_hugepage")


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


tap.run([
    ("khugepaged does not refill", khugepaged_does_not_refill),
    ("it is given back again and again", it_is_given_back_again_and_again),
    ("pressure is not waited for", pressure_is_not_waited_for),
    ("the end of the process ends it", the_end_of_the_process_ends_it),
])
