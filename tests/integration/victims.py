"""heap-victim: processes that know what they hold, built with this system's C library and with others."""
import fcntl
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import kernel
from processes import PATIENCE, clean_environment, end, read_line, start, wait_until
from tap import Skip

SOURCE_ROOT = Path(os.environ["SOURCE_ROOT"])
CACHE = Path(os.environ["TEST_CACHE"])
SOURCES = sorted(path for path in (SOURCE_ROOT / "tests/victims").glob("*.c")
                 if path.name != "low-links.c")   # a program of its own
GLIBCS = ["system", "2.31", "2.41", "2.43", "2.44"]
HUGE_GLIBCS = [glibc for glibc in GLIBCS if glibc != "2.31"]   # glibc.malloc.hugetlb exists since 2.35
MMAPPED_LIKE_OTHERS = ["2.43", "2.44"]   # their mmapped chunks are built like the others, 16 bytes short of the mapping

# Heaps that hold still.
HEAPS = ["quiet", "threads-few-survivors", "small-fastbins", "one-kib-half", "tops", "arena-multi-heap",
         "mmap-threshold", "fork-shared", "caches", "remapped", "memalign", "shrunk", "foreign-sbrk",
         "brk-blocked", "brk-at-times", "namespaces", "fork-orphans"]
# Programs that have their C library in them, stripped. (gcc 12's libgcc cannot be linked with 2.31, which has no
# _dl_find_object.)
STATICS = ["system static", "system static-pie", "2.41 static-pie", "2.43 static", "2.44 static-pie"]
STATIC_HEAPS = ["quiet", "one-kib-half", "small-fastbins", "foreign-sbrk", "brk-blocked", "fork-orphans"]
ARGUMENTS = {"mmap-threshold": ["16"]}
HUGE_TUNABLE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

# Heaps under settings that change what malloc's structures hold. A version that lacks one of them ignores it, but for
# those in which a tcache has large bins, which are run with them alone.
SETTINGS = {
    "one arena": ("quiet", {"MALLOC_ARENA_MAX": "1"}),
    "many in each tcache": ("caches", {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=5000"}),
    "few sizes in each tcache": ("caches", {"GLIBC_TUNABLES": "glibc.malloc.tcache_max=200"}),
    "large blocks in each tcache": ("caches", {
        "GLIBC_TUNABLES": "glibc.malloc.tcache_max=4000000:glibc.malloc.tcache_count=40"}),
    "all but small blocks mapped": ("quiet", {"MALLOC_MMAP_THRESHOLD_": "512"}),
}


def _sysroot(version):
    """The directory of that glibc; skips where it cannot be had."""
    directory = CACHE / "sysroots" / version
    fetched = subprocess.run([SOURCE_ROOT / "scripts/fetch-glibc.sh", version, directory], text=True,
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False)
    if fetched.returncode == 69 and not os.environ.get("RESIDUE_REQUIRE_GLIBCS"):   # `make soak` requires them
        raise Skip(fetched.stderr.strip())
    assert fetched.returncode == 0, fetched.stderr
    return directory


def _flags(version, static):
    """What makes gcc use that C library."""
    if version == "system":
        return []
    root = _sysroot(version)
    folders = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
    found = [f"--sysroot={root}", *[flag for folder in folders for flag in (f"-B{folder}", f"-L{folder}")]]
    if static:
        return found
    return [*found, *[f"-Wl,-rpath,{folder}" for folder in folders],
            f"-Wl,--dynamic-linker={root}/lib64/ld-linux-x86-64.so.2"]


def _build(version, kind, target):
    draft = target.with_suffix(".new")
    command = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fno-builtin", *([f"-{kind}", "-s"] if kind else ["-g"]),
               *_flags(version, kind), "-o", draft, *SOURCES, "-pthread", "-ldl"]
    built = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    draft.rename(target)


def program(glibc):
    """The path of heap-victim for "system", a version, or one of STATICS."""
    if glibc == "system":
        return os.environ["HEAP_VICTIM"]
    version, _, kind = glibc.partition(" ")
    target = CACHE / "victims" / glibc.replace(" ", "-")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(path.stat().st_mtime for path in (SOURCE_ROOT / "tests/victims").iterdir())
        if not target.exists() or target.stat().st_mtime < newest:
            _build(version, kind, target)
    return str(target)


class Victim:
    """with Victim("quiet") as victim: ..."""

    patience = PATIENCE   # seconds that it has to build its heap, or to answer

    def __init__(self, heap, *arguments, glibc="system", group=None, **environment):
        self.heap, self.glibc = heap, glibc
        self.group = group   # the cgroup that it runs in
        self.arguments = arguments or ARGUMENTS.get(heap, [])
        self.environment = clean_environment(**environment)
        self.process = None
        self.pid = None
        self.forks = []
        self.remarks = []

    def __enter__(self):
        command = [program(self.glibc), self.heap, *self.arguments]
        self.process = start(self.group.command(*command) if self.group else command, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, bufsize=0, env=self.environment)
        line = read_line(self.process, self.patience)
        while not line.startswith("READY"):
            self.remarks.append(line)
            line = read_line(self.process, self.patience)
        self.pid, *self.forks = map(int, line.split()[1:])
        for fork in self.forks:   # until it sleeps it may still write to pages that it shares
            wait_until("the fork sleeps", lambda fork=fork: kernel.state(fork)[0] == "S")
        return self

    def __exit__(self, *_):
        end(self.process)

    def command(self, *words):
        """The words of its answer behind OK."""
        self.process.stdin.write((" ".join(words) + "\n").encode())
        answer = read_line(self.process, self.patience).split()
        assert answer[0] == "OK", " ".join(answer)
        return answer[1:]

    def blocks(self):
        """[(address, requested, usable)] of what it holds."""
        with tempfile.NamedTemporaryFile() as file:
            count = int(self.command("blocks", file.name)[0])
            found = list(struct.iter_unpack("<QQQ", file.read()))
        assert len(found) == count, f"{len(found)} of {count} blocks were written"
        return found

    def info(self):
        names = ["arena", "hblks", "hblkhd", "fsmblks", "fordblks", "keepcost"]
        return dict(zip(names, map(int, self.command("info"))))

    def quit(self):
        """Its exit code."""
        self.process.stdin.write(b"quit\n")
        return self.process.wait(PATIENCE)


# Every heap with every C library takes an hour; `make soak` takes it. Otherwise each heap is made by the system's, and
# the others make those in which versions differ.
THOROUGH = bool(os.environ.get("RESIDUE_THOROUGH"))
HEAPS_OF_OTHERS = HEAPS if THOROUGH else ["quiet", "threads-few-survivors", "small-fastbins", "caches", "remapped",
                                          "brk-blocked", "fork-orphans"]
HEAPS_OF_STATICS = STATIC_HEAPS if THOROUGH else ["quiet", "brk-blocked"]


def for_each_heap(test):
    """[(name, function)] of test(heap, glibc) for heaps and C libraries, dynamic and static."""
    pairs = [(heap, glibc) for glibc in GLIBCS
             for heap in (HEAPS if glibc == "system" else HEAPS_OF_OTHERS)]
    pairs += [(heap, glibc) for glibc in STATICS for heap in HEAPS_OF_STATICS]
    return [(f"{heap}, glibc {glibc}", lambda heap=heap, glibc=glibc: test(heap, glibc)) for heap, glibc in pairs]


def for_each_setting(test):
    """[(name, function)] of test(heap, glibc, environment) for SETTINGS and C libraries."""
    return [(f"{heap}, {name}, glibc {glibc}", lambda heap=heap, glibc=glibc, environment=environment:
             test(heap, glibc, environment))
            for glibc in (GLIBCS if THOROUGH else ["system", "2.31", "2.44"])
            for name, (heap, environment) in SETTINGS.items()]
