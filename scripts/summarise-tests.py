#!/usr/bin/env python3
"""Adds up what meson's test logs of several builds say, subtests counted one by one.

usage: summarise-tests.py [--only-sum] BUILD_DIRECTORY...

Unless --only-sum is given, tells every failure and every skip with its reason. The last line is "N passed, N failed" or
"N passed, N failed, N skipped". The exit code is 1 when something failed, a log is missing, or nothing ran.
"""
import json
import re
import sys
from pathlib import Path

PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?", re.IGNORECASE)
RESULT = re.compile(r"(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*?)\s*(?:#\s*(SKIP)\S*\s*(.*))?$", re.IGNORECASE)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


def read_tap(name, lines):
    """The tally of one program's TAP output; None when it wrote no TAP."""
    tally = Tally()
    planned, seen, remark, failing = None, 0, "", False
    for line in lines:
        plan, result = PLAN.fullmatch(line.strip()), RESULT.match(line)
        if plan:
            planned = int(plan[1])
            if planned == 0:
                tally.skipped.append(f"{name}: {plan[2] or 'no reason given'}")
        elif result and (result[2] or planned is not None):
            seen += 1
            failing = False
            title = result[3] or f"number {result[2]}"
            if result[4]:
                # cmocka puts the test's name where TAP has the reason; what it printed before is the reason.
                reason = f"{result[5]}: {remark or 'no reason given'}" if not result[3] else f"{title}: {result[5]}"
                tally.skipped.append(f"{name}: {reason}")
            elif result[1]:
                tally.failed.append(f"{name}: {title}")
                failing = True
            else:
                tally.passed += 1
            remark = ""
        elif line.strip():
            remark = line.strip().lstrip("# ")
            if failing and not remark.startswith("not ok - "):  # that is cmocka's verdict on the group
                tally.failed[-1] += f"\n    {remark}"
    if planned is None and seen == 0:
        return None
    if planned is None or seen < planned:  # it crashed, or forgot some
        tally.failed.append(f"{name}: ended after {seen} of {planned or 'an unknown number of'} tests")
    return tally


def read_test(build, record):
    """The tally of one line of a test log."""
    name = f"{build}: {record['name']}"
    outcome = record["result"]
    lines = record.get("stdout", "").splitlines()
    tally = read_tap(name, lines)
    if tally is None:
        tally = Tally()
        if outcome in ("OK", "EXPECTEDFAIL"):
            tally.passed = 1
        elif outcome == "SKIP":
            said = [line for line in lines + record.get("stderr", "").splitlines() if line.strip()]
            tally.skipped.append(f"{name}: {said[-1].strip() if said else 'no reason given'}")
    if outcome not in ("OK", "EXPECTEDFAIL", "SKIP") and not tally.failed:
        tally.failed.append(f"{name}: {outcome.lower()}, exit status {record.get('returncode')}")
    return tally


def read_build(directory):
    """The tally of one build directory."""
    log = Path(directory, "meson-logs", "testlog.json")
    tally = Tally()
    if not log.is_file():
        tally.failed.append(f"{directory}: no test ran there")
        return tally
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        tally += read_test(directory, json.loads(line))
    return tally


def main(arguments):
    only_sum = "--only-sum" in arguments
    total = Tally()
    for directory in arguments:
        if directory != "--only-sum":
            total += read_build(directory)
    if total.passed == 0 and not total.failed:
        total.failed.append("no test ran")
    if not only_sum:
        for what in total.skipped:
            print(f"skipped: {what}")
        for what in total.failed:
            print(f"FAILED: {what}")
    print(f"{total.passed} passed, {len(total.failed)} failed"
          + (f", {len(total.skipped)} skipped" if total.skipped else ""))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
