#!/usr/bin/env python3
"""Layers point one way: a file includes its own folder or those before it in the list.

usage: check-layers.py SOURCE_ROOT LAYER...      layers from the lowest to the highest, as meson.build lists them

It also holds ARCHITECTURE.md to the code: each layer has a line there that names what it may use. The checker is
tried on a broken sample first, so that it is known to bite. Output is TAP.
"""
import re
import sys
import tempfile
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
GENERATED = re.compile(r"[\w-]*victims?\.h")
MAY_USE = re.compile(r"^- `src/(\w+)/`.*?May use: ([^.]*)\.", re.MULTILINE | re.DOTALL)


def violations_in_file(source, path, layers, may_use):
    folder = path.relative_to(source).parts[0]
    # A test may use any layer below its own, and what stands or is generated beside it.
    is_test = path.name.startswith("test-")
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        used = name.split("/")[0]
        where = f"{path.relative_to(source)} includes {name}"
        if is_test and GENERATED.fullmatch(name):
            continue
        if "/" not in name or used not in layers:
            yield f"{where}, which names no layer; write it as \"folder/file.h\""
        elif not (source / name).is_file():
            yield f"{where}, which is not there"
        elif layers.index(used) > layers.index(folder):
            yield f"{where}, but {used} is above {folder}"
        elif used != folder and not is_test and may_use is not None and used not in may_use.get(folder, ()):
            yield f"{where}, but ARCHITECTURE.md does not say that {folder} may use {used}"


def violations(source, layers, may_use=None):
    """Every breach under `source`, as sentences."""
    found = []
    for path in sorted([*source.rglob("*.c"), *source.rglob("*.h")]):
        if path.relative_to(source).parts[0] not in layers:
            found.append(f"{path.relative_to(source)} lies outside the layers")
        else:
            found += violations_in_file(source, path, layers, may_use)
    return found


def documented_uses(text, layers):
    """What ARCHITECTURE.md allows: {layer: layers}. "everything above" is every layer listed before."""
    uses = {}
    for layer, words in MAY_USE.findall(text):
        names = re.findall(r"\w+", words)
        if names == ["everything", "above"] and layer in layers:
            names = layers[:layers.index(layer)]
        uses[layer] = set(names) - {"nothing"}
    return uses


def documentation_faults(uses, layers):
    for index, layer in enumerate(layers):
        if layer not in uses:
            yield f"ARCHITECTURE.md has no line of what {layer} may use"
        for used in sorted(uses.get(layer, set()) - set(layers[:index])):
            yield f"ARCHITECTURE.md lets {layer} use {used}, which is not below it"


SAMPLES = {  # file: (its text, part of the sentence that must come; None: it must pass)
    "low/fine.h": ('#include "low/own.h"\n#include <stdio.h>\n', None),
    "low/own.h": ("", None),
    "high/fine.c": ('#include "low/own.h"\n#  include "high/own.h"\n', None),
    "high/own.h": ("", None),
    "low/upward.c": ('#include "high/own.h"\n', "high is above low"),
    "low/arch/deep.c": ('#include "high/own.h"\n', "high is above low"),
    "high/bare.c": ('#include "own.h"\n', "names no layer"),
    "high/outside.c": ('#include "other/own.h"\n', "names no layer"),
    "high/missing.c": ('#include "low/gone.h"\n', "is not there"),
    "high/undocumented.c": ('#include "middle/own.h"\n', "does not say that high may use middle"),
    "middle/own.h": ("", None),
    "other/own.h": ("", "lies outside the layers"),
}


def self_check():
    """What the checker gets wrong about SAMPLES, as sentences."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory)
        for name, (text, _) in SAMPLES.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text, encoding="utf-8")
        found = violations(source, ["low", "middle", "high"], {"high": {"low"}})
    document = "- `src/low/`: x. May use: high.\n- `src/high/`: y. May use: everything above.\n"
    uses = documented_uses(document, ["low", "middle", "high"])
    if uses != {"low": {"high"}, "high": {"low", "middle"}}:
        yield f"it misreads the document: {uses}"
    if len(list(documentation_faults(uses, ["low", "middle", "high"]))) != 2:
        yield "it does not see what is wrong with the document"
    for name, (_, expected) in SAMPLES.items():
        about = [sentence for sentence in found if sentence.startswith(name + " ")]
        if expected is None and about:
            yield f"it objects to {name}: {about}"
        if expected is not None and not any(expected in sentence for sentence in about):
            yield f"it does not see what is wrong with {name}"


def main(root, *layers):
    layers = list(layers)
    uses = documented_uses((root / "ARCHITECTURE.md").read_text(encoding="utf-8"), layers)
    results = [
        ("the checker sees broken samples", list(self_check())),
        ("ARCHITECTURE.md says what each layer may use", list(documentation_faults(uses, layers))),
        ("every include points down", violations(root / "src", layers, uses)),
    ]
    print(f"1..{len(results)}")
    for number, (name, faults) in enumerate(results, 1):
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        for fault in faults:
            print(f"# {fault}")
    return 1 if any(faults for _, faults in results) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
