#!/usr/bin/env python3
"""System calls made by processes that notice everything, while whoever has them made is killed at every point of it.

A short form by default: each point in some of the roles. The long form: RESIDUE_CHAOS_ROUNDS rounds (10,000) and
RESIDUE_CHAOS_KILLS kills at random (2,000), spread over the roles, and each point in each role.

What a plain SIGSTOP and SIGCONT does to each role is tried, too: nothing else may be seen.
"""
import contextlib
import mmap
import os
import random
import signal
import struct
import subprocess
import tempfile
import time

import tap
from processes import PATIENCE

VICTIM, STATIC_VICTIM = os.environ["CHAOS_VICTIM"], os.environ["STATIC_CHAOS_VICTIM"]
TOOL = os.environ["INJECT_CALLS"]
ROUNDS = int(os.environ.get("RESIDUE_CHAOS_ROUNDS", 0))
KILLS = int(os.environ.get("RESIDUE_CHAOS_KILLS", 0))
LONG = bool(ROUNDS or KILLS)

MAY_BE_INTERRUPTED = {"epoll", "sigwait"}   # signal(7): these return EINTR after SIGCONT, without any handler
# Their time left is known to the kernel alone: unless they are guarded, calls are made when they are caught outside of it.
MAY_BE_REFUSED = {"sleep", "limited-poll"}
ROLES = ["general-registers", "vector-registers", "float-registers", "read", "poll", "limited-poll", "select", "epoll",
         "sleep", "absolute-sleep", "receive", "wait", "vfork", "exec", "semaphore", "sigsuspend", "ppoll", "pselect",
         "sigwait", "timer", "interrupted-read", "pause", "queue", "allocate", "workers", "spawn", "fork"]
STATIC_ROLES = ["vector-registers", "read", "pselect", "timer", "workers"]   # in a static, stripped program
HEAD = struct.Struct("IIQQ200s")   # struct shared


class Victim:
    def __init__(self, role, program=VICTIM):
        self.role = role
        self.file = tempfile.NamedTemporaryFile()
        self.file.truncate(4096)
        self.shared = mmap.mmap(self.file.fileno(), 4096)
        self.process = subprocess.Popen([program, role, self.file.name], stdin=subprocess.DEVNULL)
        self.wait_until(lambda: self.head()[0], "is not ready")
        self.pid = self.process.pid

    def head(self):
        return HEAD.unpack_from(self.shared)

    def wait_until(self, condition, complaint):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            failure = self.head()[4].rstrip(b"\0").decode()
            assert self.process.poll() is None, f"{self.role} ended ({self.process.returncode}): {failure}"
            assert time.monotonic() < deadline, f"{self.role} {complaint}"
            time.sleep(0.0002)

    def assert_it_goes_on(self):
        before = self.head()[2]
        self.wait_until(lambda: self.head()[2] > before + 1, "hangs")

    def leave(self):
        """It must end by itself, with nothing wrong."""
        self.shared[4:8] = struct.pack("I", 1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        tap.equal(f"what {self.role} ended with ({self.head()[4].rstrip(bytes(1)).decode()})", self.process.poll(), 0)
        if self.role not in MAY_BE_INTERRUPTED:
            tap.equal(f"how often {self.role} was interrupted", self.head()[3], 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()


class Tally:
    def __init__(self):
        self.kills = self.rounds = self.refused = self.put_off = 0


def run_tool(victim, rounds, die_at=None, dies="both", way="alone"):
    environment = dict(os.environ, **({"RESIDUE_TEST_DIE_AT": str(die_at), "RESIDUE_TEST_DIE": dies} if die_at else {}))
    arguments = [str(victim.pid), str(rounds), way, *([victim.file.name] if victim.role == "buffers" else [])]
    return subprocess.run([TOOL, *arguments], env=environment, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE + rounds, check=False)


def rounds(victim, count, tally):
    """Lets them be made; the number of requests that one round takes at most."""
    result = run_tool(victim, count)
    tap.equal(f"the code of a tool that was not killed ({result.stderr.strip()})", result.returncode, 0)
    _, made, refused, put_off, requests = map(int, result.stdout.split("\n")[0].split())
    tally.rounds += made
    tally.refused += refused
    tally.put_off += put_off
    if victim.role not in MAY_BE_REFUSED and count > 10:   # a single one may meet a signal
        assert made, f"{victim.role}: no round was made: {result.stdout}"
    victim.assert_it_goes_on()
    return requests


def most_requests(victim, tally):
    return max(100, *(rounds(victim, 1, tally) for _ in range(3)))


def kill_at(victim, number, tally, dies="both", way="alone"):
    """It may have been refused, or be through, before it gets there."""
    result = run_tool(victim, 1, number, dies, way)
    late = "is being traced by process" in result.stderr   # by the one that outlives a killed tool, still
    without_tracer = dies == "tracer" and result.returncode == 1
    assert result.returncode in (0, -signal.SIGKILL) or late or without_tracer, \
        f"{number}: {result.returncode}: {result.stderr}"
    tally.kills += result.returncode != 0 and not late
    victim.assert_it_goes_on()


def kill_at_random(victim, numbers, tally):
    with subprocess.Popen([TOOL, str(victim.pid), "100000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as tool:
        time.sleep(numbers.uniform(0.002, 0.03))
        assert tool.poll() is None, f"the tool ended: {tool.returncode}"
        tool.kill()
    tally.kills += 1
    victim.assert_it_goes_on()


def points(end, index):
    """All, or the first and the last ones and some of those between, others in each role."""
    return [number for number in range(1, end)
            if LONG or number < 14 or number > end - 8 or number % 8 == index % 8]


def chaos(role, index, program=VICTIM):
    tally, numbers = Tally(), random.Random(index)
    with Victim(role, program) as victim:
        most = most_requests(victim, tally)
        for number in points(most + 2, index):
            kill_at(victim, number, tally)
        for _ in range(KILLS // len(ROLES) + 1 if LONG else 2):
            kill_at_random(victim, numbers, tally)
        rounds(victim, ROUNDS // len(ROLES) + 1 if LONG else 20, tally)
        victim.leave()
    tap.note(f"{role}: {tally.rounds} rounds of {most} requests, {tally.refused} refused, {tally.put_off} put off; killed "
             f"{tally.kills} times")


def guarded(role, dies):
    """Held by a process that outlives the tool."""
    tally = Tally()
    with Victim(role) as victim:
        assert run_tool(victim, 1, way="guarded").returncode == 0
        for number in points(125, 0):
            kill_at(victim, number, tally, dies, "guarded")
        victim.leave()
    assert tally.kills > (60 if LONG else 12), f"only {tally.kills} were killed"
    tap.note(f"{role}: killed {tally.kills} times")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def job_control(role):
    """It is stopped and continued by others meanwhile, and the tool killed: none of both is lost."""
    tally, numbers = Tally(), random.Random(1)
    with Victim(role) as victim:
        for _ in range(300 if LONG else 15):
            with subprocess.Popen([TOOL, str(victim.pid), "100000"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL) as tool:
                for _ in range(10):
                    time.sleep(numbers.uniform(0, 0.002))
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(numbers.uniform(0, 0.002))
                    os.kill(victim.pid, signal.SIGCONT)
                assert tool.poll() is None, f"the tool ended: {tool.returncode}"
                tool.kill()
            victim.assert_it_goes_on()
        rounds(victim, 20, tally)
        os.kill(victim.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, victim.pid, os.WSTOPPED)
        run_tool(victim, 1)
        victim.wait_until(lambda: state(victim.pid) == "T", "is no longer stopped")
        os.kill(victim.pid, signal.SIGCONT)
        victim.leave()


def stopping_shows(role):
    """The roles' own expectations are held to what SIGSTOP and SIGCONT do here."""
    with Victim(role) as victim:
        for _ in range(300 if LONG else 30):
            os.kill(victim.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, victim.pid, os.WSTOPPED)
            os.kill(victim.pid, signal.SIGCONT)
            victim.assert_it_goes_on()
        victim.leave()
        if role in MAY_BE_INTERRUPTED:
            assert victim.head()[3], f"{role} was never interrupted"


if __name__ == "__main__":
    tap.run([(f"what SIGSTOP and SIGCONT show to {role}", lambda role=role: stopping_shows(role)) for role in ROLES
             if LONG or role in MAY_BE_INTERRUPTED] +
            [(f"whoever has {role} make calls may be killed", lambda role=role, index=index: chaos(role, index))
             for index, role in enumerate(ROLES)] +
            [(f"whoever has {role} make calls may be killed, in a static program",
              lambda role=role, index=index: chaos(role, index, STATIC_VICTIM)) for index, role in enumerate(STATIC_ROLES)] +
            [(f"{role} may be stopped and continued by others meanwhile", lambda role=role: job_control(role))
             for role in ["general-registers", "read", "workers"] if LONG or role != "workers"] +
            # Discarding is right only as long as nobody runs. Without such a process this fails at once.
            [("whoever discards what nobody uses may be killed", lambda: guarded("buffers", "program"))] +
            [(f"whoever has {role} make calls may be killed: {dies} of the two", lambda r=role, d=dies: guarded(r, d))
             for role in ["sleep", "limited-poll", "pselect", "general-registers", "interrupted-read", "fork"]
             for dies in ["program", "tracer", "both"] if LONG or role in ("sleep", "pselect")])
