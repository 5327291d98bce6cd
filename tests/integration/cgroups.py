"""A cgroup of the test's own, made where the memory controller is, and removed when the scope is left."""
import contextlib
import os
import re
from pathlib import Path

import tap
from processes import wait_until


def _mounts():
    """[(type, mount point, options)] of cgroup hierarchies."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield kind, Path(before.split()[4]), options.split(",")


def _own_path():
    """Where this test is in the memory controller's hierarchy, and which version that is."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return 1, path
        if number == "0":
            unified = path
    return 2, unified


class Group:
    def __init__(self, version, directory):
        self.version, self.directory = version, directory

    def read(self, v1, v2):
        return int((self.directory / (v1 if self.version == 1 else v2)).read_text())

    def charge(self):
        return self.read("memory.usage_in_bytes", "memory.current")

    def anon(self):
        """Mapped anonymous memory, of those below, too."""
        key = r"^total_rss (\d+)$" if self.version == 1 else r"^anon (\d+)$"
        return int(re.search(key, (self.directory / "memory.stat").read_text(), re.MULTILINE)[1])

    def limit(self, value):
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.directory / name).write_text(str(value), encoding="ascii")

    def command(self, *arguments):
        """What starts a program in it: memory is charged to where it is first touched."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.directory), *arguments]


def _make(path):
    try:
        path.mkdir()
    except OSError as error:
        raise tap.Skip(f"no cgroup can be made here: {error}") from error


def _remove(path):
    """What was in it has ended, but may still be on its way out."""
    def gone():
        with contextlib.suppress(OSError):
            path.rmdir()
        return not path.exists()
    wait_until(f"{path} is empty", gone)


@contextlib.contextmanager
def group():
    """A Group and another inside of it."""
    version, _ = _own_path()
    places = [point for kind, point, options in _mounts()
              if (kind == "cgroup" and "memory" in options if version == 1 else kind == "cgroup2")]
    if not places:
        raise tap.Skip("the memory controller's cgroups are not mounted")
    outer = places[0] / f"residue-test-{os.getpid()}"
    inner = outer / "inner"
    _make(outer)
    try:
        if version == 2 and not (outer / "memory.current").exists():
            raise tap.Skip("the memory controller is not enabled for new cgroups here")
        _make(inner)
        try:
            yield Group(version, outer), Group(version, inner)
        finally:
            _remove(inner)
    finally:
        _remove(outer)


def path_of(pid):
    """As /proc/PID/cgroup names it, in the memory controller's hierarchy."""
    text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    found = re.search(r"^\d+:(?:.*,)?memory(?:,.*)?:(.*)$", text, re.MULTILINE) or re.search(r"^0::(.*)$", text, re.MULTILINE)
    return found[1]
