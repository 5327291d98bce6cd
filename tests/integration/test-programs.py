#!/usr/bin/env python3
"""Real programs under light load: the ledger adds up to the kernel's figure, and accounts agree with the kernel's.

Every other process of this machine is looked at, too: without a stop, as they are not ours to pause. With
RESIDUE_TEST_WHOLE_MACHINE=1 they are stopped as well.
"""
import os
import shutil
import subprocess
import tempfile

import kernel
import residue
import servers
import tap
from processes import clean_environment, read_line, start, wait_until


def look(pid, name):
    """The ledger adds up, and to what the kernel said while the process held still."""
    before = kernel.rss(pid)
    said = residue.why(pid)
    after = kernel.rss(pid)
    refusals = residue.refusals(said)
    ledger = said["ledger"]
    tap.note(f"{name}: {said['rss_bytes']}, unexplained {ledger['unexplained']}, allocator {said['allocator']['name']}, "
             f"live {ledger['heap.live']}, refusals: {refusals or 'none'}")
    assert said["stopped"] and "exactness" not in refusals, refusals
    if before == after:
        tap.equal(f"rss_bytes of {name}", said["rss_bytes"], before)
        status = kernel.status(pid)
        tap.equal(f"the shared account of {name}", ledger["shared"], status["RssShmem"])
        tap.equal(f"the code account of {name}", ledger["code"], status["RssFile"])
    return said


def family(pid):
    """The process and all that descend from it."""
    found, rest = [], [pid]
    while rest:
        current = rest.pop()
        found.append(current)
        with open(f"/proc/{current}/task/{current}/children", encoding="ascii") as file:
            rest += map(int, file.read().split())
    return found


def look_at_all(root, name):
    """{pid: what residue says}. Members that end meanwhile are left out."""
    found = {}
    for pid in family(root):
        try:
            found[pid] = look(pid, f"{name} {pid}")
        except (OSError, AssertionError):
            if os.path.exists(f"/proc/{pid}"):
                raise
    return found


def nginx():
    with servers.nginx() as server:
        for pid, said in look_at_all(server.pid, "nginx").items():
            assert said["allocator"]["decoded"], pid


def memcached():
    with servers.memcached() as server:
        said = look(server.pid, "memcached")
        assert said["allocator"]["decoded"] and said["threads"] > 1, said
        # Items lie in slabs that come from malloc.
        assert said["ledger"]["heap.live"] > servers.MEMCACHED_BYTES, said["ledger"]


def postgres():
    with servers.postgres() as server:
        found = look_at_all(server.pid, "postgres")
        assert len(found) > 4, found
        assert any(said["ledger"]["shared"] > 1 << 20 for said in found.values())


def busy_postgres():
    """Its backends come, go and change while they are looked at."""
    with servers.postgres() as server:
        bench = server.bench()
        for _ in range(3):
            for pid in family(server.pid):
                result = residue.run("why", "--json", pid)
                assert result.returncode in (0, 66, 69), result
        wait_until("pgbench is done", lambda: bench.poll() is not None)
        tap.equal("exit code of pgbench", bench.returncode, 0)


def allocator_of(said):
    return f"{said['allocator']['name']} {said['allocator']['version']}"


def bytes_of(said, name, version):
    """Unexplained bytes that are this owner's alone; all that have its name must have the version."""
    owners = [owner for owner in said["unexplained_by"] if owner["name"] == name]
    for owner in owners:
        tap.equal(f"version of {name}", owner["version"], version)
        assert owner["evidence"], owner
    return sum(owner["bytes"] for owner in owners)


def redis():
    """All of its memory is jemalloc's, and glibc, which is mapped and not used, is not to be seen."""
    with servers.redis() as server:
        memory = server.memory()
        said = look(server.pid, "redis-server")
        tap.equal("its allocator", allocator_of(said).replace(" ", "-"), memory["mem_allocator"])
        assert not said["allocator"]["decoded"] and said["ledger"]["heap.live"] == 0, said
        held = bytes_of(said, "jemalloc", said["allocator"]["version"])
        assert int(memory["used_memory"]) // 2 < held <= said["ledger"]["unexplained"], (held, memory)
        assert not any("glibc" in owner["name"] for owner in said["unexplained_by"]), said["unexplained_by"]


def advice_for_redis():
    with servers.redis() as server:
        page = residue.run("why", server.pid).stdout
        assert "\nhelp: MALLOC_CONF=" in page and page.count("MALLOC_CONF=") == 1, page


# What keeps memory of its own beside malloc, and what says which version it is.
RUNTIMES = {
    "CPython": ["python3", "-c", "import sys\nkeep = [str(i) for i in range(200000)]\n"
                "print(sys.version.split()[0].rstrip('+'), flush=True)\nsys.stdin.read()"],
    "Ruby": ["ruby", "-e", "keep = (0..200000).map(&:to_s)\nSTDOUT.puts RUBY_VERSION\nSTDOUT.flush\nSTDIN.read"],
    "V8": ["node", "-e", "let keep = []; for (let i = 0; i < 200000; i++) keep.push('x' + i);\n"
           "console.log(process.versions.v8); process.stdin.resume()"],
    "PHP": ["php", "-n", "-r", "for ($i = 0; $i < 200000; $i++) $keep[] = \"x$i\"; echo explode('-', PHP_VERSION)[0], \"\\n\"; fgets(STDIN);"],
    "LuaJIT": ["luajit", "-e", "keep = {} for i = 1, 200000 do keep[i] = 'x' .. i end "
               "print(jit.version:match('LuaJIT (%S+)')) io.stdout:flush() io.read()"],
    "Erlang": ["erl", "-noinput", "-eval", "K = lists:seq(1, 1000000), io:format(\"~s~n\", [erlang:system_info(otp_release)]), "
               "receive stop -> K end."],
}


def runtime(name):
    """Its own heap is named with its version, and glibc's malloc, which serves it, too, is decoded all the same."""
    def test():
        program, *rest = RUNTIMES[name]
        path = shutil.which(program, path="/usr/bin:/usr/local/bin:" + os.environ.get("PATH", ""))
        if not path:
            raise tap.Skip(f"{program} is not installed")
        process = start([path, *rest], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        version = read_line(process)
        said = look(process.pid, name)
        assert said["allocator"]["name"] == "glibc" and said["allocator"]["decoded"], said["allocator"]
        assert said["ledger"]["heap.live"] > 0, said["ledger"]
        assert bytes_of(said, name, version) > 2 << 20, said["unexplained_by"]
    return f"{name} is recognised", test


def built(compiler, *arguments, source, **more):
    """A program made from one of this project's sources, running; the first line it said."""
    path = shutil.which(compiler)
    if not path:
        raise tap.Skip(f"{compiler} is not installed")
    with tempfile.TemporaryDirectory(prefix="residue-", dir="/tmp") as directory:
        done = subprocess.run([path, *arguments, "-o", f"{directory}/victim", os.path.join(os.environ["SOURCE_ROOT"], source)],
                              capture_output=True, text=True, check=False, env=clean_environment(**more))
        assert done.returncode == 0, done.stderr
        process = start([f"{directory}/victim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return process, read_line(process)


def low_links():
    """A list's first link that could be either form: the rest of the list tells which it is."""
    for _ in range(3):  # the break is somewhere else each time
        process, _ = built("gcc", "-no-pie", "-O1", source="tests/tools/low-links.c")
        said = look(process.pid, "low links")
        assert said["allocator"]["decoded"] and not said["refusals"], said
        assert said["arenas"][0]["free_bytes"]["tcache"] >= 5 * 48, said["arenas"]


def odd_stack():
    """A stack that begins in the middle of a page: what is stale of it is counted all the same."""
    process, _ = built("gcc", "-O1", "-pthread", source="tests/tools/odd-stack.c")
    said = look(process.pid, "odd stack")
    assert said["ledger"]["stack.stale"] > 512 << 10, said["ledger"]


def go():
    """Without a libc, all memory comes from Go's runtime."""
    process, line = built("go", "build", source="src/runtime/victim-go.go", GOFLAGS="", GO111MODULE="off", GOTOOLCHAIN="local",
                          GOCACHE=os.path.join(os.environ["TEST_CACHE"], "go"))
    said = look(process.pid, "go")
    tap.equal("what serves it", allocator_of(said), line.replace("go", "Go ", 1).split(" X:", maxsplit=1)[0])
    assert not said["allocator"]["decoded"], said["allocator"]
    assert bytes_of(said, "Go", said["allocator"]["version"]) > 2 << 20, said["unexplained_by"]


def musl():
    process, _ = built("musl-gcc", "-D_GNU_SOURCE", source="src/runtime/victim.c")
    said = look(process.pid, "musl")
    tap.equal("its allocator", said["allocator"]["name"], "musl malloc")
    assert bytes_of(said, "musl malloc", said["allocator"]["version"]) > 8 << 20, said["unexplained_by"]


def static_musl():
    """It does not tell whose it is; so nobody is named, least of all glibc."""
    process, _ = built("musl-gcc", "-static", "-s", "-D_GNU_SOURCE", source="src/runtime/victim.c")
    said = look(process.pid, "static musl")
    tap.equal("its allocator", said["allocator"], {"name": None, "version": None, "decoded": False})
    assert not said["unexplained_by"] and said["ledger"]["unexplained"] > 8 << 20, said
    assert "allocator not recognised" in residue.run("why", process.pid).stdout


SCRIPTS = {   # they keep some, drop some, say so, and wait
    "python3": ["-c", "import sys\nkeep = [bytearray(i % 3000) for i in range(50000)]\ndel keep[::2]\n"
                      "print('ready', flush=True)\nsys.stdin.read()"],
    "ruby": ["-e", "keep = (0..50000).map { |i| 'x' * (i % 3000) }\n(0...keep.size).step(2) { |i| keep[i] = nil }\n"
                   "GC.start\nSTDOUT.puts 'ready'\nSTDOUT.flush\nSTDIN.read"],
    "node": ["-e", "let keep = []; for (let i = 0; i < 50000; i++) keep.push('x'.repeat(i % 3000) + i);\n"
                   "keep = keep.filter((_, i) => i % 2); console.log('ready'); process.stdin.resume()"],
    "perl": ["-e", "$| = 1; @keep = map { 'x' x ($_ % 3000) } 0..50000; print \"ready\\n\"; <STDIN>"],
}


def interpreter(name):
    def test():
        path = shutil.which(name, path="/usr/bin:/usr/local/bin:" + os.environ.get("PATH", ""))
        if not path:
            raise tap.Skip(f"{name} is not installed")
        process = start([path, *SCRIPTS[name]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        tap.equal("its word", read_line(process), "ready")
        look(process.pid, name)
    return name, test


SMALL = [["sleep", "600"], ["cat"], ["bash"], ["sh"], ["sort"], ["awk", "1"], ["sed", "p"], ["tail", "-f", "/dev/null"],
         ["gcc", "-x", "c", "-E", "-"], ["clang", "-x", "c", "-E", "-"], ["xz", "-9", "-c"], ["gzip", "-c"], ["bc"],
         ["git", "cat-file", "--batch"], ["python3", "-i"], ["openssl"], ["sqlite3"], ["gdb", "-q"], ["busybox", "cat"]]


def small_programs():
    """All sorts of programs that wait for input."""
    started = 0
    for command in SMALL:
        if not shutil.which(command[0]):
            continue
        process = start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=os.environ["SOURCE_ROOT"])
        wait_until(f"{command[0]} waits", lambda process=process: process.poll() is not None
                   or kernel.state(process.pid)[0] == "S" and kernel.status(process.pid).get("VmRSS", 0) > 0)
        if process.poll() is None:
            look_at_all(process.pid, command[0])
            started += 1
    assert started > 5, f"only {started} of them could be started"


def ancestors():
    pid, found = os.getpid(), set()
    while pid > 1:
        found.add(pid)
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    return found | {1}


class Gone(Exception):
    """A process has ended, or has no memory, or does not stop."""


def why_of_stranger(pid, *arguments):
    result = residue.run("why", "--json", *arguments, pid)
    if result.returncode in (66, 69):
        raise Gone
    return residue.check(pid, result)


def stranger_adds_up(pid):
    """True when the ledger is the kernel's figure; False when the process did not hold still long enough to tell."""
    for _ in range(10):
        before = kernel.rss(pid)
        said = why_of_stranger(pid, "--no-stop")
        if before == kernel.rss(pid) and said["moved_bytes"] == 0 and said["rss_bytes"] == before:
            return True
    assert said["moved_bytes"] or before != kernel.rss(pid), f"process {pid}: {said['rss_bytes']}, not {before}: {said}"
    return False


def stopped_stranger_adds_up(pid):
    said = why_of_stranger(pid)
    assert said["stopped"] and "exactness" not in residue.refusals(said), f"process {pid}: {said}"


def strangers():
    for pid in sorted({int(name) for name in os.listdir("/proc") if name.isdigit()} - ancestors()):
        try:
            if not kernel.state(pid)[1] & kernel.PF_KTHREAD:
                yield pid
        except OSError:
            continue


def whole_machine():
    exact = moving = 0
    for pid in strangers():
        try:
            if stranger_adds_up(pid):
                exact += 1
            else:
                moving += 1
            if os.environ.get("RESIDUE_TEST_WHOLE_MACHINE") == "1":
                stopped_stranger_adds_up(pid)
        except (OSError, Gone):
            continue
    tap.note(f"{exact} processes add up, {moving} did not hold still")
    assert exact > moving


tap.run([("nginx", nginx), ("memcached", memcached), ("postgres", postgres), ("postgres at work", busy_postgres),
         ("redis", redis), ("advice for redis", advice_for_redis), ("low links", low_links),
         ("odd stack", odd_stack), ("Go", go), ("musl", musl), ("static musl", static_musl)]
        + [runtime(name) for name in RUNTIMES]
        + [interpreter(name) for name in SCRIPTS]
        + [("small programs", small_programs), ("every process of this machine", whole_machine)])
