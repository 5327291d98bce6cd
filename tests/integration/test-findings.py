#!/usr/bin/env python3
"""Each mechanism, provoked by a process that does nothing else: its finding is there, and claims what is true."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import kernel
import residue
import tap
from processes import clean_environment, end, read_line, start, wait_until
from victims import GLIBCS, Victim, program

KIB, MIB = 1 << 10, 1 << 20


def finding(said, name):
    found = {finding["id"]: finding for finding in said["findings"]}
    assert name in found, f"no {name} among {list(found)}"
    tap.note(found[name]["because"])
    assert found[name]["bytes"] <= said["rss_bytes"], found[name]
    return found[name]


def predicted(found, cure):
    return next(each["predicted_rss_bytes"] for each in found["cures"] if each["name"] == cure)


def close(what, figure, expected, tolerance=0.05):
    assert abs(figure - expected) <= tolerance * expected, f"{what} is {figure}, not about {expected}"


def hoards(glibc):
    tunables = "glibc.malloc.tcache_count=1000:glibc.malloc.tcache_max=1032"
    with Victim("hoards", glibc=glibc, GLIBC_TUNABLES=tunables) as victim:
        said = residue.why(victim.pid)
        found = finding(said, "glibc-thread-caches")
        close("what waits in caches", found["bytes"], 16 * 1000 * 1008)
        assert "caches of 16 threads" in found["because"] and "up to 1000 chunks" in found["because"], found
        tap.equal("tcaches' share", sum(arena["free_resident_bytes"]["tcache"] for arena in said["arenas"]),
                  found["bytes"])
        text = residue.run("why", victim.pid).stdout
        assert "help: GLIBC_TUNABLES=glibc.malloc.tcache_count=2\n" in text, text


def deep_stack():
    with Victim("deep-stack") as victim:
        said = residue.why(victim.pid)
        found = finding(said, "stale-stacks")
        tap.equal("bytes", found["bytes"], said["ledger"]["stack.stale"])
        close("stale bytes", found["bytes"], 6 * MIB)
        assert found["bytes"] - kernel.PAGE < predicted(found, "stale-stacks") <= found["bytes"], found
        assert "ended" not in found["because"], found


def ended(glibc, how):
    with Victim("ended", how, glibc=glibc) as victim:
        wait_until("the threads have ended", lambda: kernel.status(victim.pid)["Threads"] == 1)
        said = residue.why(victim.pid)
        found = finding(said, "stale-stacks")
        assert "stacks of 200 threads that have ended" in found["because"], found
        # Until 2.32 the lists do not tell whether they were joined, unless one of them lives.
        tap.equal("nobody joined them", "until somebody joins them" in found["because"], how == "left" and glibc != "2.31")
        assert found["bytes"] >= 200 * 12 * KIB, found
        assert said["ledger"]["unexplained"] <= 64 * KIB, said["ledger"]
        text = residue.run("why", victim.pid).stdout
        tap.equal("told what to set", "glibc.pthread.stack_cache_size" in text, how == "joined" and glibc != "2.31")


def lazily_freed():
    with Victim("lazy") as victim:
        if kernel.smaps_rollup(victim.pid)["LazyFree"] != 24 * MIB:
            raise tap.Skip("this kernel does not free lazily here (swapless memory cgroup, or none in smaps)")
        said = residue.why(victim.pid)
        found = finding(said, "lazily-freed")
        tap.equal("bytes", found["bytes"], 24 * MIB)
        tap.equal("lazyfree_bytes", said["lazyfree_bytes"], 24 * MIB)
        assert said["ledger"]["unexplained"] >= 32 * MIB, said["ledger"]
        assert "glibc's malloc never does that" in found["because"], found


def discarded():
    with Victim("quiet") as victim:
        before = residue.why(victim.pid)["free_chunks"]
        victim.command("trim")
        said = residue.why(victim.pid)
        after = said["free_chunks"]
        tap.note(f"{before}, after malloc_trim {after}")
        for chunks in before, after:
            tap.equal("the parts", chunks["resident_bytes"] + chunks["swapped_bytes"] + chunks["discarded_bytes"],
                      chunks["bytes"])
        accounts = sum(said["ledger"][f"heap.free.{name}"] for name in ("returnable", "cached", "pinned"))
        tap.equal("what of it is resident", after["resident_bytes"], accounts)
        assert after["discarded_bytes"] > before["discarded_bytes"] + 10 * MIB, (before, after)


@contextlib.contextmanager
def on_one_cpu():
    """What is started in it may run on one CPU only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def arenas_for_cpus():
    with on_one_cpu():
        victim = Victim("threads-few-survivors", MALLOC_ARENA_TEST="40").__enter__()
    try:
        said = residue.why(victim.pid)
        found = finding(said, "glibc-many-arenas")
        tap.equal("allowed", said["cpus"]["allowed"], 1)
        tap.equal("online", said["cpus"]["online"], os.sysconf("SC_NPROCESSORS_ONLN"))
        assert found["because"].startswith("26 arenas for 1 CPU"), found
        free = sorted(sum(arena["free_resident_bytes"].values()) for arena in said["arenas"])
        tap.equal("bytes", found["bytes"], sum(free[:-1]))
    finally:
        victim.__exit__()


def quota_directory():
    """A cgroup of our own, in either hierarchy."""
    for mount, controller, version in (("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", 1), ("/sys/fs/cgroup", "cpu.max", 2)):
        directory = Path(mount) / f"residue-test-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        if (directory / controller).exists():
            return directory, version
        directory.rmdir()
    raise tap.Skip("no cgroup with the cpu controller can be made here")


def arenas_for_a_quota():
    directory, version = quota_directory()
    victim = None
    try:
        if version == 1:
            (directory / "cpu.cfs_period_us").write_text("100000", encoding="ascii")
            (directory / "cpu.cfs_quota_us").write_text("150000", encoding="ascii")
        else:
            (directory / "cpu.max").write_text("150000 100000", encoding="ascii")
        victim = Victim("threads-few-survivors", MALLOC_ARENA_TEST="40").__enter__()
        (directory / "cgroup.procs").write_text(str(victim.pid), encoding="ascii")
        said = residue.why(victim.pid)
        tap.equal("quota", (said["cpus"]["quota_us"], said["cpus"]["period_us"]), (150000, 100000))
        assert "26 arenas for 1.5 CPUs (its cgroup's quota" in finding(said, "glibc-many-arenas")["because"]
    finally:
        if victim:
            victim.__exit__()
        directory.rmdir()


def what_pins_pages(glibc):
    with Victim("one-kib-half", glibc=glibc) as victim:
        said = residue.why(victim.pid)
        found = finding(said, "glibc-pinned")
        tap.equal("bytes", found["bytes"], said["ledger"]["heap.free.pinned"])
        assert "pages have blocks of" in found["because"], found
        assert said["pinned_pages"] * kernel.PAGE >= found["bytes"], said["pinned_pages"]


def what_is_live(glibc):
    with Victim("one-size", glibc=glibc) as victim:
        found = finding(residue.why(victim.pid), "live-memory")
        assert "in 60,000 blocks of 985 to 1000 bytes" in found["because"], found


def fastbins():
    with Victim("small-fastbins") as victim:
        said = residue.why(victim.pid)
        found = finding(said, "glibc-fastbins")
        tap.equal("bytes", found["bytes"], sum(arena["free_resident_bytes"]["fastbin"] for arena in said["arenas"]))
        before = kernel.rss(victim.pid)
        victim.command("trim")
        returned = before - kernel.rss(victim.pid)
        assert abs(predicted(found, "malloc-trim") - returned) <= 2 * kernel.PAGE, (found, returned)


def a_refused_heap(glibc):
    with Victim("torn", glibc=glibc) as victim:
        said = residue.why(victim.pid)
        found = finding(said, "heap-refused")
        tap.equal("the first", said["findings"][0]["id"], "heap-refused")
        assert 5 * MIB < found["bytes"] <= said["ledger"]["unexplained"], (found, said["ledger"])
        assert any(refusal["reason"] in found["because"] for refusal in said["refusals"]), said["refusals"]
        victim.process.kill()   # its heap is broken


def settings_of(pid):
    return {each["name"]: each for each in residue.why(pid)["environment"]}


def settings_in_force(glibc):
    with Victim("quiet", glibc=glibc, MALLOC_ARENA_MAX="3", MALLOC_TRIM_THRESHOLD_="-1", MALLOC_MMAP_MAX_="7",
                GLIBC_TUNABLES="glibc.malloc.tcache_count=5:glibc.malloc.arena_test=2:glibc.malloc.mmap_threshold=0x30000"
                ) as victim:
        settings = settings_of(victim.pid)
        tap.equal("in force", {name: each["in_force"] for name, each in settings.items()},
                  dict.fromkeys(["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "glibc.malloc.tcache_count",
                                 "glibc.malloc.arena_test", "glibc.malloc.mmap_threshold"], True))


def not_in_force(pid, name, reason):
    setting = settings_of(pid)[name]
    tap.note(f"{name}: {setting['reason']}")
    tap.equal(f"{name} in force", setting["in_force"], False)
    assert reason in setting["reason"], setting
    text = residue.run("why", pid).stdout
    assert f"note: {name}={setting['value']} is in the environment and not in force:" in " ".join(text.split()), text


def settings_that_do_nothing():
    with Victim("tops", MALLOC_TRIM_THRESHOLD_="200000", MALLOC_TOP_PAD="1", MALLOC_ARENA_MAX="2",
                GLIBC_TUNABLES="glibc.malloc.arena_max=3:glibc.malloc.nonsense=1") as victim:
        not_in_force(victim.pid, "MALLOC_TRIM_THRESHOLD_", "1073741824 is: the program has changed it (mallopt)")
        not_in_force(victim.pid, "MALLOC_TOP_PAD", "glibc knows it as MALLOC_TOP_PAD_")
        not_in_force(victim.pid, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max=3 in GLIBC_TUNABLES goes before it")
        not_in_force(victim.pid, "glibc.malloc.nonsense", "this glibc has no such tunable")


def settings_by_version():
    with Victim("tops", glibc="2.31", MALLOC_MMAP_THRESHOLD_="40000000", GLIBC_TUNABLES="glibc.malloc.hugetlb=2") as victim:
        not_in_force(victim.pid, "MALLOC_MMAP_THRESHOLD_", "takes no more than 33554432")
        not_in_force(victim.pid, "glibc.malloc.hugetlb", "this glibc has no such tunable")
    with Victim("tops", glibc="2.41", MALLOC_CHECK_="3", GLIBC_TUNABLES="glibc.malloc.arena_max=2:") as victim:
        not_in_force(victim.pid, "MALLOC_CHECK_", "libc_malloc_debug.so, which is not loaded")
        not_in_force(victim.pid, "glibc.malloc.arena_max", "ignores GLIBC_TUNABLES as a whole")


def settings_of_another_allocator():
    library = Path("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
    if not library.exists():
        raise tap.Skip("libjemalloc2 is not installed")
    process = start([shutil.which("sleep"), "600"], env=clean_environment(LD_PRELOAD=str(library), MALLOC_ARENA_MAX="2"))
    try:
        wait_until("it sleeps", lambda: kernel.state(process.pid)[0] == "S")
        not_in_force(process.pid, "MALLOC_ARENA_MAX", "jemalloc serves malloc here")
    finally:
        end(process)


def settings_of_a_privileged_program():
    if os.geteuid() != 0:
        raise tap.Skip("only root can make a program that gets another user's privileges")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = Path(folder) / "victim"
        shutil.copy(program("system"), copy)
        os.chown(copy, 65534, 65534)
        os.chmod(copy, 0o4755)
        process = start([str(copy), "tops"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                        env=clean_environment(MALLOC_ARENA_MAX="2"))
        try:
            read_line(process)
            if not is_secure(process.pid):
                raise tap.Skip("programs get no privileges here (nosuid)")
            not_in_force(process.pid, "MALLOC_ARENA_MAX", "AT_SECURE")
        finally:
            end(process, signal.SIGKILL)


def is_secure(pid):
    auxv = Path(f"/proc/{pid}/auxv").read_bytes()
    pairs = [(int.from_bytes(auxv[at:at + 8], "little"), int.from_bytes(auxv[at + 8:at + 16], "little"))
             for at in range(0, len(auxv), 16)]
    return dict(pairs)[23] == 1   # AT_SECURE


def for_each(name, test, glibcs=tuple(GLIBCS)):
    return [(f"{name}, glibc {glibc}", lambda glibc=glibc: test(glibc)) for glibc in glibcs]


tap.run(for_each("caches of threads", hoards)
        + [("a stack that was deep once", deep_stack)]
        + for_each("threads that have ended and were joined", lambda glibc: ended(glibc, "joined"))
        + for_each("threads that have ended and were not joined", lambda glibc: ended(glibc, "left"))
        + [("lazily freed memory", lazily_freed),
           ("free memory that was given back", discarded),
           ("arenas for one CPU", arenas_for_cpus),
           ("arenas for a quota", arenas_for_a_quota),
           ("fastbins", fastbins)]
        + for_each("what pins pages", what_pins_pages, ["system", "2.31", "2.44"])
        + for_each("what is live", what_is_live, ["system", "2.31", "2.44"])
        + for_each("a heap that is torn", a_refused_heap, ["system", "2.31"])
        + for_each("settings in force", settings_in_force)
        + [("settings that do nothing", settings_that_do_nothing),
           ("settings that one version takes", settings_by_version),
           ("settings of another allocator", settings_of_another_allocator),
           ("settings of a privileged program", settings_of_a_privileged_program)])
