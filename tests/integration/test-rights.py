#!/usr/bin/env python3
"""What is told when the process may not be stopped or not be read."""
import ctypes
import os
import tempfile

import kernel
import residue
import tap
from victims import Victim

NOT_POSSIBLE, NO_PERMISSION = 69, 77
NOBODY = 65534
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
WITHOUT_PTRACE = os.environ["WITHOUT_PTRACE"]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def tracer_of(pid):
    return kernel.status(pid)["TracerPid"]


def without_stopping():
    with Victim("quiet") as victim:
        stopped = residue.why(victim.pid)
        said = residue.why(victim.pid, "--no-stop")
        tap.equal("rss_bytes", said["rss_bytes"], kernel.rss(victim.pid))
        tap.equal("pauses", said["pauses"], {"count": 0, "total_ns": 0, "longest_ns": 0})
        tap.equal("stopped", said["stopped"], False)
        assert said["refusals"], "nothing says that figures are not certain"
        tap.note(residue.refusals(said))
        # It holds still, so what does not need its threads' registers is as exact as in a pause.
        for account in ("shared", "code", "data"):
            tap.equal(account, said["ledger"][account], stopped["ledger"][account])


def without_stopping_a_busy_process():
    with Victim("churn", "8") as victim:
        for _ in range(20):
            residue.why(victim.pid, "--no-stop")
        tap.equal("exit code of the victim", victim.quit(), 0)


def traced_by_another():
    with Victim("quiet") as victim:
        assert libc.ptrace(PTRACE_SEIZE, victim.pid, None, None) == 0, os.strerror(ctypes.get_errno())
        residue.fails(NOT_POSSIBLE, "why", victim.pid, says=str(os.getpid()))
        tap.equal("the tracer", tracer_of(victim.pid), os.getpid())
        said = residue.why(victim.pid, "--no-stop")
        tap.equal("rss_bytes", said["rss_bytes"], kernel.rss(victim.pid))
        victim.command("check")


def check_mapping_level(victim, said):
    tap.equal("rss_bytes", said["rss_bytes"], kernel.rss(victim.pid))
    tap.equal("decoded", said["allocator"]["decoded"], False)
    tap.equal("pauses", said["pauses"]["count"], 0)
    status = kernel.status(victim.pid)
    tap.equal("code", said["ledger"]["code"], status["RssFile"])
    for account, value in said["ledger"].items():
        assert not account.startswith("heap.") or value == 0, said["ledger"]
    assert said["refusals"], "nothing says why the heap is missing"
    tap.note(residue.refusals(said))


def ptrace_is_forbidden():
    with Victim("quiet") as victim:
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}   # the leak checker itself needs ptrace
        said = residue.why(victim.pid, before=[WITHOUT_PTRACE], env=environment)
        check_mapping_level(victim, said)
        assert "trace" in residue.refusals(said), residue.refusals(said)


def as_somebody_else():
    if os.geteuid() != 0:
        raise tap.Skip("only root can be somebody else")
    with Victim("quiet") as victim, tempfile.TemporaryDirectory() as directory:
        original, residue.RESIDUE = residue.RESIDUE, str(residue.copy_for_all(directory))
        try:
            residue.fails(NO_PERMISSION, "why", victim.pid, says="CAP_SYS_PTRACE", user=NOBODY, group=NOBODY,
                          extra_groups=[], cwd="/")
            residue.fails(NO_PERMISSION, "why", "--no-stop", victim.pid, user=NOBODY, group=NOBODY,
                          extra_groups=[], cwd="/")
        finally:
            residue.RESIDUE = original
        tap.equal("the tracer", tracer_of(victim.pid), 0)


tap.run([
    ("--no-stop of a process that holds still", without_stopping),
    ("--no-stop of a busy process", without_stopping_a_busy_process),
    ("a process that another traces", traced_by_another),
    ("where ptrace is forbidden", ptrace_is_forbidden),
    ("as a user without rights", as_somebody_else),
])
