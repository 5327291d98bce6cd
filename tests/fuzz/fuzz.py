#!/usr/bin/env python3
"""Runs the fuzzers, and tells what they did and found.

usage: fuzz.py [--seconds N] [--jobs N] --state DIRECTORY FUZZER...     each for N seconds, at the lowest priority
       fuzz.py --short FUZZER...                                        each for a fixed number of runs, for tests

FUZZER is a program, or a directory with several.

New inputs are kept in DIRECTORY/NAME/corpus, what breaks something in DIRECTORY/NAME/found, what libFuzzer says in
DIRECTORY/NAME/log. Nothing is written to the source tree. The exit code is 1 when something was found.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHORT_RUNS = {"heap": 1000, "elf": 10000, "report": 5000}  # the others: 20000; some seconds each
LONGEST_INPUT = {"elf": 16384, "environ": 4096, "heap": 4096, "maps": 8192, "report": 16384, "smaps": 8192, "text": 4096,
                 "unwind": 4096}
# A second is long for any of them; under a sanitizer, on a busy machine, 20 are not.
LIMITS = ["-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=256", "-print_final_stats=1"]
# The decoders' caches have 16 MiB: to keep freed ones, and to map their shadow anew, would take most of the time.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1:clear_shadow_mmap_threshold=1073741824", "UBSAN_OPTIONS": "print_stacktrace=1"}


def name_of(fuzzer):
    return Path(fuzzer).name.removeprefix("fuzz-")


def executables(paths):
    """The fuzzers that are named, and those in the directories that are named."""
    for path in map(Path, paths):
        yield from sorted(p for p in path.iterdir() if p.name.startswith("fuzz-") and p.is_file()) if path.is_dir() else [path]


def options(name):
    dictionary = HERE / "dictionaries" / f"{name}.dict"
    return [*LIMITS, f"-max_len={LONGEST_INPUT[name]}", *([f"-dict={dictionary}"] if dictionary.exists() else [])]


def run(fuzzer, state, extra):
    """One run of libFuzzer; its figures."""
    name = name_of(fuzzer)
    for part in ("corpus", "found", "tmp"):
        (state / name / part).mkdir(parents=True, exist_ok=True)
    log = state / name / "log"
    begun = time.monotonic()
    with open(log, "ab") as out:
        code = subprocess.run(
            [Path(fuzzer).resolve(), *options(name), *extra, f"-artifact_prefix={state / name / 'found'}/",
             state / name / "corpus", HERE / "corpus" / name],
            stdout=out, stderr=subprocess.STDOUT, check=False, cwd=state / name,
            env=os.environ | ENVIRONMENT | {"TMPDIR": str(state / name / "tmp")}).returncode
    text = log.read_text(errors="replace")
    executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
    coverage = re.findall(r"cov: (\d+) ft: (\d+)", text)
    return {"name": name, "code": code, "seconds": time.monotonic() - begun, "log": log, "text": text,
            "executed": executed[-1] if executed else "?", "coverage": coverage[-1] if coverage else ("?", "?"),
            "found": sorted((state / name / "found").iterdir())}


def report(results):
    print(f"{'fuzzer':10}{'executions':>12}{'seconds':>9}{'coverage':>10}{'features':>10}  found")
    for r in results:
        print(f"{r['name']:10}{r['executed']:>12}{r['seconds']:>9.0f}{r['coverage'][0]:>10}{r['coverage'][1]:>10}  "
              f"{len(r['found']) or ('nothing' if r['code'] == 0 else 'it ended with ' + str(r['code']))}")
    for r in results:
        for path in r["found"]:
            print(f"found: {path}; to see it again: build-fuzz/tests/fuzz/fuzz-{r['name']} {path}")
        if r["code"]:
            print(f"the end of {r['log']}:")
            print("\n".join("    " + line for line in r["text"].splitlines()[-60:]))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--state", type=Path)
    parser.add_argument("fuzzers", nargs="+")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        state = (Path(temporary) if args.short else args.state).resolve()
        if not args.short:
            os.nice(19)
            print(f"state and logs: {state}", flush=True)

        def one(fuzzer):
            runs = SHORT_RUNS.get(name_of(fuzzer), 20000)
            return run(fuzzer, state, [f"-runs={runs}", "-seed=1"] if args.short
                       else [f"-max_total_time={args.seconds}"])

        with ThreadPoolExecutor(args.jobs) as pool:
            results = list(pool.map(one, executables(args.fuzzers)))
        report(results)
    return 1 if any(r["code"] or r["found"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
