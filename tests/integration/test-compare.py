#!/usr/bin/env python3
"""What grew between two looks is what the victim took between them, to the chunk."""
import json
import os
import tempfile
from pathlib import Path

import residue
import tap
from processes import clean_environment, end, read_line, start
from victims import GLIBCS, Victim

PAGE = 4096


def report(pid, directory, name):
    path = Path(directory) / name
    path.write_text(json.dumps(residue.why(pid)), encoding="utf-8")
    return path


def compare(*arguments):
    for _ in range(20):
        result = residue.run("why", "--json", "--compare", *arguments)
        if not residue.not_in_time(result):
            break
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["format"] == "residue.why-compare/1", told
    difference = sum(figure["difference"] for figure in told["ledger"].values())
    tap.equal("what the accounts differ by", difference, told["rss_bytes"]["difference"])
    return told


def chunk_bytes(block):
    """With its first word; one with a mapping of its own ends with a page, whether that lacks a word (until 2.42) or not."""
    address, _, usable = block
    mmapped = address % PAGE == 16 and usable >= 128 * 1024
    return -(-(usable + 8) // PAGE) * PAGE if mmapped else usable + 8


def grows(glibc, count, size):
    with Victim("quiet", glibc=glibc) as victim, tempfile.TemporaryDirectory() as directory:
        before = set(victim.blocks())
        old = report(victim.pid, directory, "old.json")
        victim.command("take", str(count), str(size))
        told = compare(old, victim.pid)
        taken = set(victim.blocks()) - before
        tap.equal("blocks taken", len(taken), count)
        expected = sum(map(chunk_bytes, taken))
        tap.equal("relation", told["relation"], "same")
        tap.equal("growth of heap.live", told["ledger"]["heap.live"]["difference"], expected)
        tap.equal("growth of live bytes", told["live_bytes"]["difference"], expected)
        tap.equal("growth of live blocks", told["live_blocks"]["difference"], count)
        tap.equal("leading account", told["leading_account"], "heap.live")
        parts = told["arenas"] + [told["mmapped_chunks"]]
        tap.equal("growth of all arenas and mmapped chunks",
                  sum(part.get("live_bytes", part.get("bytes"))["difference"] for part in parts), expected)
        shrinks(victim, report(victim.pid, directory, "new.json"), count, expected)
        text = residue.run("why", "--compare", old, Path(directory) / "new.json")
        words = " ".join(text.stdout.split())
        assert "in blocks that the program holds" in words and "its own growth" in words, text


def shrinks(victim, old, count, expected):
    victim.command("drop", str(count))
    told = compare(old, victim.pid)
    tap.equal("difference of heap.live", told["ledger"]["heap.live"]["difference"], -expected)
    tap.equal("difference of live blocks", told["live_blocks"]["difference"], -count)
    victim.command("check")


def nothing_changes():
    with Victim("quiet") as victim, tempfile.TemporaryDirectory() as directory:
        told = compare(report(victim.pid, directory, "old.json"), victim.pid)
    changed = {name: figure for name, figure in told["ledger"].items() if figure["difference"]}
    # A stopped thread's stack pointer can be in another function.
    assert set(changed) <= {"stack.used", "stack.stale"}, changed
    tap.equal("difference of RSS", told["rss_bytes"]["difference"], 0)
    tap.equal("difference of live blocks", told["live_blocks"]["difference"], 0)


def another_process_is_told():
    with Victim("quiet") as first, Victim("quiet") as second, tempfile.TemporaryDirectory() as directory:
        told = compare(report(first.pid, directory, "old.json"), second.pid)
    tap.equal("relation", told["relation"], "other")
    tap.equal("arenas", told["arenas"], None)


def another_program_is_told():
    """It keeps its id and its start, and nothing else."""
    waits = "import sys; print('ready', flush=True); sys.stdin.readline()"
    again = f"import os, sys; {waits}; os.execv(sys.executable, [sys.executable, '-c', {waits!r}])"
    process = start(["python3", "-c", again], stdin=-1, stdout=-1, bufsize=0,
                    env=clean_environment(PYTHONUNBUFFERED="1"))
    with tempfile.TemporaryDirectory() as directory:
        read_line(process)
        old = report(process.pid, directory, "old.json")
        os.write(process.stdin.fileno(), b"\n")
        read_line(process)
        told = compare(old, process.pid)
        end(process)
    with open("/proc/sys/kernel/randomize_va_space", encoding="ascii") as file:
        if file.read().strip() == "0":
            raise tap.Skip("without randomised addresses another program looks like the first")
    tap.equal("relation", told["relation"], "executed")


# Small blocks, large ones in the arena, and ones with mappings of their own.
SIZES = [(1000, 40), (300, 10000), (5, 3000000)]

tap.run([(f"{count} blocks of {size}, glibc {glibc}", lambda glibc=glibc, count=count, size=size: grows(glibc, count, size))
         for glibc in GLIBCS for count, size in SIZES]
        + [("nothing changes", nothing_changes), ("another process is told", another_process_is_told),
           ("another program is told", another_program_is_told)])
