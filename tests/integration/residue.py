"""Running residue and reading what it says."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import tap
from processes import clean_environment

RESIDUE = os.environ["RESIDUE"]
ACCOUNTS = ["shared", "code", "data", "stack.used", "stack.stale", "heap.live", "heap.free.returnable",
            "heap.free.cached", "heap.free.pinned", "heap.overhead", "zero.huge", "zero.small", "unexplained"]


def run(*arguments, before=(), **options):
    """The finished process; `before` is a command that runs it."""
    options.setdefault("env", clean_environment())
    return subprocess.run([*before, RESIDUE, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          check=False, **options)


def not_in_time(result):
    """Whether a thread did not get to stop: that a machine is busy is no failure of residue's, who says to try again."""
    return result.returncode == 69 and "did not stop within" in result.stderr


def why(pid, *arguments, **options):
    """What `residue why --json` says, checked."""
    for _ in range(20):
        result = run("why", "--json", *arguments, pid, **options)
        if not not_in_time(result):
            break
        tap.note(result.stderr.strip())
    return check(pid, result)


def check(pid, result):
    """It must be a success, in the documented shape, and add up."""
    assert result.returncode == 0, f"exit code {result.returncode}: {result.stderr}{result.stdout[-500:]}"
    said = json.loads(result.stdout)
    assert said["format"] == "residue.why/1" and said["pid"] == int(pid), said
    assert set(said["ledger"]) >= set(ACCOUNTS), said["ledger"]
    assert all(value >= 0 for value in said["ledger"].values()), said["ledger"]
    total = sum(said["ledger"].values())
    assert total == said["rss_bytes"], f"the ledger adds up to {total}, not to {said['rss_bytes']}: {said['ledger']}"
    return said


def fails(code, *arguments, says="", **options):
    """It must end with that code, one sentence that contains `says`, and no output."""
    result = run(*arguments, **options)
    assert result.returncode == code, f"exit code {result.returncode}, not {code}: {result.stderr}{result.stdout[:300]}"
    assert result.stdout == "", f"standard output: {result.stdout}"
    assert result.stderr.count("\n") == 1 and says in result.stderr, result.stderr


def refusals(said):
    return "; ".join(f"{refusal['what']}: {refusal['reason']}" for refusal in said["refusals"])


def copy_for_all(directory):
    """Where the build directory is out of others' reach, the program is not."""
    os.chmod(directory, 0o755)
    copy = Path(directory, "residue")
    shutil.copy(RESIDUE, copy)
    copy.chmod(0o755)
    return copy
