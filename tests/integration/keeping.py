"""What the tests of residue keep share: running it, and what it is to leave behind."""
import json
import os
import tempfile
import time
from pathlib import Path

import kernel
import residue

SETTINGS = ["mmap_threshold", "trim_threshold", "dynamic_threshold"]

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
