#!/usr/bin/env python3
"""What must not be in any tracked file: marks of unfinished work, issue numbers, paths of one machine, endless files.

usage: check-text.py SOURCE_ROOT

The rules are tried on samples first, so that they are known to bite. Output is TAP.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

MOST_LINES = 600
CODE = {".c", ".h", ".py", ".sh"}

# The words are put together so that this file keeps to its own rules.
RULES = [
    ("a mark of unfinished work", re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")),
    # 5 digits at most: colours are longer. Not %#18x, ${x#12}, &#39; or a C literal's suffix.
    ("an issue number", re.compile(r"(?<![\w%$&#{'\"])#\d{1,5}\b(?!\.?\w)")),
    ("a home directory", re.compile(r"(?<![\w}>*])/(?:home|Users)/[A-Za-z]|(?<![\w}>*])/ro" + r"ot/")),
]

SAMPLES = [  # text, whether it must be caught
    ("/* TO" + "DO: later */", True),
    ("mkstemp(\"/tmp/residue-XXXXXX\")", False),
    ("X" * 3 + ": look again", True),
    ("see #" + "12 for more", True),
    ("(#" + "4133)", True),
    ("printf(\"%#18lx\")", False),
    ("color: #3355aa", False),
    ("${line#12}", False),
    ("cd /ho" + "me/someone/residue", True),
    ("open(\"/ro" + "ot/.cache\")", True),
    ("/proc/1/ro" + "ot/etc", False),
    ("/proc/$pid/ro" + "ot/etc", False),
]


def faults_in_line(line):
    return [name for name, pattern in RULES if pattern.search(line)]


def self_check():
    for text, bad in SAMPLES:
        if bool(faults_in_line(text)) != bad:
            yield f"{'it misses' if bad else 'it objects to'}: {text}"


def tracked_files(root):
    """What git knows; without git (a release's tarball), everything but build directories."""
    listing = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z"],
                             capture_output=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        return [root / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [path for path in root.rglob("*") if path.is_file()
            and not path.relative_to(root).parts[0].startswith(("build", ".git"))]


def machine_paths(root):
    """Where this tree and its user's home happen to lie, if long enough to mean anything."""
    return [place for place in {str(root.resolve()) + "/", str(Path.home()) + "/"}
            if place.count("/") > 2 and not place.startswith(("/usr/", "/tmp/"))]


def faults_in_file(path, root, places):
    name = path.relative_to(root)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, FileNotFoundError):
        return
    if path.suffix in CODE and len(lines) > MOST_LINES:
        yield f"{name} has {len(lines)} lines; {MOST_LINES} are the most: give it a second file"
    for number, line in enumerate(lines, 1):
        for fault in faults_in_line(line):
            yield f"{name}:{number} has {fault}: {line.strip()[:100]}"
        if any(place in line for place in places):
            yield f"{name}:{number} has a path of this machine: {line.strip()[:100]}"


def main(root):
    places = machine_paths(root)
    files = [path for path in tracked_files(root) if not path.is_symlink()]
    results = [
        ("the rules catch what they should", list(self_check())),
        ("there are files to look at", [] if files else ["none were found"]),
        ("tracked files keep the rules", [fault for path in files for fault in faults_in_file(path, root, places)]),
    ]
    print(f"1..{len(results)}")
    for number, (name, faults) in enumerate(results, 1):
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        for fault in faults:
            print(f"# {fault}")
    return 1 if any(faults for _, faults in results) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
