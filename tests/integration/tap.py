"""Tests as plain functions, told as TAP."""
import signal
import sys
import traceback


class Skip(Exception):
    """Cannot be tried here; the text says why."""


def note(text):
    """A remark that does not decide anything."""
    print("# " + str(text).replace("\n", "\n# "), flush=True)


def equal(what, found, expected):
    assert found == expected, f"{what} is {found}, not {expected}"


def _attempt(test):
    try:
        test()
        return "ok", "", ""
    except Skip as reason:
        return "ok", f" # SKIP {reason}", ""
    except AssertionError as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        return "not ok", "", str(error) or f"line {line.lineno}: {line.line}"
    except Exception:  # a broken test must not hide the next
        return "not ok", "", traceback.format_exc()


def run(tests):
    """Runs [(name, function)]; an optional argument of the program chooses those whose names contain it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if len(sys.argv) > 1:
        tests = [(name, test) for name, test in tests if sys.argv[1] in name]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        verdict, directive, remark = _attempt(test)
        failed += verdict != "ok"
        print(f"{verdict} {number} - {name}{directive}", flush=True)
        if remark:
            note(remark)
    sys.exit(1 if failed else 0)
