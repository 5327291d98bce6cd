#!/usr/bin/env python3
"""Processes in unusual states, and arguments that name no process."""
import signal
import subprocess

import kernel
import residue
import tap
from processes import start, wait_until
from victims import Victim

USAGE, NO_PROCESS, NOT_POSSIBLE = 64, 66, 69


def a_stopped_process_stays_stopped():
    with Victim("quiet") as victim:
        victim.process.send_signal(signal.SIGSTOP)
        wait_until("stopped", lambda: kernel.state(victim.pid)[0] == "T")
        said = residue.why(victim.pid)
        assert said["allocator"]["decoded"], residue.refusals(said)
        tap.equal("rss_bytes", said["rss_bytes"], kernel.rss(victim.pid))
        # Let go, it is on its way back into the stop: that shows as R for an instant.
        wait_until("stopped again", lambda: kernel.state(victim.pid)[0] == "T")
        victim.process.send_signal(signal.SIGCONT)
        wait_until("running on", lambda: kernel.state(victim.pid)[0] == "S")
        victim.command("check")
        tap.equal("exit code", victim.quit(), 0)


def stopping_residue_keeps_nobody_stopped():
    """Ctrl-Z while it looks: it must let go first."""
    with Victim("small-fastbins") as victim:
        for _ in range(20):
            process = subprocess.Popen([residue.RESIDUE, "why", "-q", str(victim.pid)], stdout=subprocess.DEVNULL)
            wait_until("seized", lambda: kernel.status(victim.pid)["TracerPid"] or process.poll() is not None)
            process.send_signal(signal.SIGTSTP)
            wait_until("stopped or done", lambda: process.poll() is not None or kernel.state(process.pid)[0] in "TZ")
            tap.equal("the tracer", kernel.status(victim.pid)["TracerPid"], 0)
            process.send_signal(signal.SIGCONT)
            tap.equal("exit code", process.wait(), 0)


def a_zombie():
    process = start(["true"])
    wait_until("a zombie", lambda: kernel.state(process.pid)[0] == "Z")
    residue.fails(NOT_POSSIBLE, "why", process.pid, says="has exited")
    residue.fails(NOT_POSSIBLE, "why", "--json", process.pid, says=str(process.pid))


def a_vanished_process():
    process = subprocess.Popen(["true"])
    process.wait()
    for arguments in (["why"], ["why", "--json"], ["why", "--no-stop"], []):
        residue.fails(NO_PROCESS, *arguments, process.pid, says=str(process.pid))


def a_kernel_thread():
    pid = kernel.kernel_thread()
    if pid is None:
        raise tap.Skip("no kernel thread is visible here")
    residue.fails(NOT_POSSIBLE, "why", pid, says="kernel thread")


def a_thread_that_is_no_process():
    with Victim("quiet") as victim:
        tids = sorted(int(path.name) for path in kernel.Path(f"/proc/{victim.pid}/task").iterdir())
        result = residue.run("why", "--json", tids[1])
        assert result.returncode in (0, NO_PROCESS, NOT_POSSIBLE), result
        if result.returncode:
            assert result.stderr.count("\n") == 1, result.stderr
        victim.command("check")


def a_process_that_ends_meanwhile():
    """Whatever moment it is: a report, or the code for a process that is not there."""
    for delay in range(0, 40, 2):
        process = start(["sleep", f"0.{delay:03d}"])
        result = residue.run("why", "--json", process.pid)
        assert result.returncode in (0, NO_PROCESS, NOT_POSSIBLE), result
        process.wait()


def bad_arguments():
    for arguments in (["why"], ["why", "x"], ["why", "0"], ["why", "-5"], ["why", "--bad", "1"], ["why", "1", "1"]):
        result = residue.run(*arguments)
        tap.equal(f"exit code for {arguments}", result.returncode, USAGE)


def text_for_people():
    with Victim("quiet") as victim:
        for arguments in ([], ["--quiet"], ["--color=always"], ["--no-stop"]):
            result = residue.run("why", *arguments, victim.pid)
            tap.equal("exit code", result.returncode, 0)
            assert "RSS" in result.stdout and result.stderr == "", result
            assert "--quiet" in arguments or str(victim.pid) in result.stdout, result
            assert ("\x1b[" in result.stdout) == ("--color=always" in arguments), result.stdout


tap.run([
    ("a stopped process stays stopped", a_stopped_process_stays_stopped),
    ("a stopped residue keeps nobody stopped", stopping_residue_keeps_nobody_stopped),
    ("a zombie", a_zombie),
    ("a vanished process", a_vanished_process),
    ("a kernel thread", a_kernel_thread),
    ("a thread that is no process", a_thread_that_is_no_process),
    ("a process that ends meanwhile", a_process_that_ends_meanwhile),
    ("bad arguments", bad_arguments),
    ("text for people", text_for_people),
])
