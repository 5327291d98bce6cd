"""Processes that a test starts. They end with it, whatever happens to it."""
import atexit
import ctypes
import os
import select
import signal
import subprocess
import time

PATIENCE = 120  # seconds, for anything that should take moments

_libc = ctypes.CDLL(None, use_errno=True)
_started = []


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def clean_environment(**more):
    """Without settings that change a heap, but for those given."""
    unwanted = ("MALLOC_", "GLIBC_TUNABLES", "PYTHONMALLOC", "LD_PRELOAD")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(unwanted)}, **more}


def start(arguments, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("env", clean_environment())
    process = subprocess.Popen(arguments, preexec_fn=_die_with_parent, **options)
    _started.append(process)
    return process


def end(process, number=signal.SIGKILL):
    """Ends one process that `start` returned, and waits for it."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    if process in _started:
        _started.remove(process)


@atexit.register
def _end_all():
    for process in list(_started):
        end(process)


def wait_until(what, condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"after {patience} s still not: {what}"
        time.sleep(0.02)


def read_line(process, patience=PATIENCE):
    """One line of its unbuffered binary standard output."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], patience)
        assert ready, f"process {process.pid} said nothing in {patience} s"
        byte = os.read(process.stdout.fileno(), 1)
        assert byte, f"process {process.pid} ended, saying {line!r}"
        line += byte
    return line.decode().rstrip("\n")
