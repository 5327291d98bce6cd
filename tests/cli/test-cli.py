#!/usr/bin/env python3
"""The command line: exit codes, one sentence for each misuse, and that help, man pages and completion agree.

usage: test-cli.py RESIDUE SOURCE_ROOT      Output is TAP.
"""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

RESIDUE = sys.argv[1]
ROOT = Path(sys.argv[2])
VERBS = ["why", "reclaim", "keep"]
USAGE, NO_PROCESS, NOT_POSSIBLE = 64, 66, 69


def run(*arguments, **options):
    return subprocess.run([RESIDUE, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def ended_pid():
    """The id of a process that has just ended; ids are not handed out again at once."""
    child = subprocess.Popen(["true"])
    child.wait()
    return str(child.pid)


def options_of(verb):
    """The long options that `residue VERB --help` lists."""
    text = run(*([verb] if verb else []), "--help").stdout
    return set(re.findall(r"^ .*?(--[a-z][a-z-]+)", text, re.MULTILINE))


def misuse(*arguments, says):
    result = run(*arguments)
    assert result.returncode == USAGE, f"exit code {result.returncode}"
    assert result.stdout == "", f"standard output: {result.stdout}"
    lines = result.stderr.splitlines()
    assert lines and lines[0].startswith("residue") and says in lines[0], result.stderr
    assert len(lines) == 1 or lines[1].startswith("Try "), result.stderr


def help_goes_to_standard_output():
    for arguments in ([], *[[verb] for verb in VERBS]):
        result = run(*arguments, "--help")
        assert result.returncode == 0 and result.stderr == "", result
        assert result.stdout.startswith("Usage: residue"), result.stdout


def help_lists_every_verb():
    listed = re.findall(r"^  ([a-z]+) +[a-z]", run("--help").stdout.split("Verbs:")[1], re.MULTILINE)
    assert listed == VERBS, listed


def version_is_the_projects():
    version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text(encoding="utf-8"))[1]
    for arguments in (["--version"], ["-V"], ["why", "--version"]):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (0, f"residue {version}\n"), result


def no_arguments_are_a_usage_error():
    misuse(says="which process?")
    misuse("why", says="which process?")


def unknown_verbs_are_named():
    misuse("wyh", "1", says="'wyh' is neither a verb nor a process id")
    misuse("", says="'' is neither a verb nor a process id")


def unknown_options_are_named():
    misuse("--wrong", says="residue: unrecognized option '--wrong'")
    misuse("why", "--wrong", "1", says="residue why: unrecognized option '--wrong'")
    misuse("1", "--wrong", says="residue why: unrecognized option '--wrong'")


def bad_process_ids_are_named():
    for text in ("x1", "0", "1x", "99999999999", "+1", "1.0"):
        misuse("why", text, says=f"'{text}' is not a process id")
    misuse("why", "1", "2", says="'2' is one too many")
    misuse("1", "2", says="'2' is one too many")
    misuse("reclaim", "x1", says="'x1' is not a process id")
    misuse("reclaim", "1", "2", says="'2' is one too many")
    misuse("reclaim", says="which process?")


def bad_colors_are_named():
    misuse("why", "--color=red", "1", says="--color takes auto, always or never, not 'red'")


def bad_thread_counts_are_named():
    result = run("why", "1", env={**os.environ, "RESIDUE_THREADS": "many"})
    assert result.returncode == USAGE and "RESIDUE_THREADS" in result.stderr, result


def what_to_reclaim_is_asked_for_rightly():
    for only in ("", "x", "zero-pages,", "zero-page", ",zero-pages"):
        misuse("reclaim", f"--only={only}", "1", says="is no cure; --only takes")
    for text in ("", "x", "-1s", "5 s", "0x5s", "1e30s", "infs"):
        misuse("reclaim", f"--watch-for={text}", "1", says=f"--watch-for takes a time like 30s, not '{text}'")
    for text in ("", "x", "-1", "5X", "M", "0x5", "1e30", "nan"):
        misuse("reclaim", f"--min-bytes={text}", "1", says=f"--min-bytes takes a size like 100M, not '{text}'")
    for text in ("", "0", "101", "x", "-5", "25%"):
        misuse("reclaim", f"--split-from={text}", "1", says=f"--split-from takes a number from 1 to 100, not '{text}'")
    for text in ("", "0", "x", "-1ms"):
        misuse("reclaim", f"--max-pause={text}", "1", says=f"--max-pause takes a time like 5ms, not '{text}'")
    misuse("reclaim", "--color=red", "1", says="--color takes auto, always or never, not 'red'")


def what_to_keep_is_asked_for_rightly():
    misuse("keep", "x1", says="'x1' is not a process id")
    misuse("keep", "1", "2", says="'2' is one too many")
    misuse("keep", says="which process?")
    for which in ("", "x", "off", "advised,none"):
        misuse("keep", f"--huge-pages={which}", "1",
               says=f"--huge-pages takes none, advised, auto or leave, not '{which}'")
    misuse("keep", "--watch-for=x", "1", says="--watch-for takes a time like 30s, not 'x'")
    misuse("keep", "--huge-pages=leave", "1", says="leaves nothing to do")
    for text in ("", "0", "500ms", "x", "-1s", "1000000min"):
        misuse("keep", f"--every={text}", "1", says=f"--every takes a time from 1s to 24 hours, not '{text}'")
    misuse("keep", "--undo", "--every=30s", "1", says="goes with no other choice")
    misuse("keep", "--undo", "--thresholds", "1", says="goes with no other choice")
    misuse("keep", "--undo", "--huge-pages=none", "1", says="goes with no other choice")
    misuse("keep", "--color=red", "1", says="--color takes auto, always or never, not 'red'")


def a_process_without_anything_to_reclaim():
    """Or without the right to: nothing is changed, and that is said."""
    with live_process() as pid:
        result = run("reclaim", "--dry-run", pid)
        if result.returncode in (NOT_POSSIBLE, 77):
            assert result.stderr.count("\n") == 1 and result.stdout == "", result
            return
        assert result.returncode == 0 and "nothing was changed" in result.stdout, result
        quiet = run("reclaim", "--dry-run", "-q", pid)
        told = json.loads(run("reclaim", "--dry-run", "--json", "--only=zero-pages", pid).stdout)
    assert re.fullmatch(r"RSS [^\n]+\.\n", quiet.stdout), quiet
    assert told["format"] == "residue.reclaim/1" and told["dry_run"] and told["after"] == [], told
    assert [cure["name"] for cure in told["cures"]] == ["zero-pages"], told


def all_and_cgroup_exclude_others():
    misuse("why", "--all", "1", says="either process 1 or --all")
    misuse("why", "1", "--cgroup=/", says="either process 1 or --cgroup")
    misuse("why", "--all", "--cgroup=/", says="either --all or --cgroup")
    misuse("why", "--all", "--compare=x", says="--compare is for one process")
    misuse("why", "--top=3", "1", says="--top is for --all and --cgroup")
    for text in ("x", "-1", "1x", "", "99999999999"):
        misuse("why", "--all", f"--top={text}", says=f"--top takes a number, not '{text}'")


def what_is_no_cgroup_is_said():
    for path, code, says in (("relative", NOT_POSSIBLE, "no absolute path"), ("/usr/bin", NOT_POSSIBLE, "is no cgroup"),
                             ("/no/such/cgroup", NO_PROCESS, "there is no cgroup")):
        result = run("why", f"--cgroup={path}")
        assert result.returncode == code and says in result.stderr, result
        assert result.stderr.count("\n") == 1 and result.stdout == "", result


def all_processes_are_told_without_a_stop():
    """--top=0: nothing of this machine is looked into."""
    with live_process() as pid:
        result = run("why", "--all", "--top=0")
        assert (result.returncode, result.stderr) == (0, ""), result
        assert re.search(rf"^ +{pid}  sleep ", result.stdout, re.MULTILINE), result.stdout
        assert "no process was paused" in result.stdout.replace("\n      ", " "), result.stdout
        quiet = run("why", "--all", "--top=0", "-q")
        with subprocess.Popen([RESIDUE, "why", "--all", "--top=0", "--json"], stdout=subprocess.PIPE) as child:
            told = json.load(child.stdout)
    assert re.fullmatch(r"RSS \S+ [KMG]iB in \d+ processes: no heap was looked into\.\n", quiet.stdout), quiet
    assert told["format"] == "residue.why-all/1" and told["pauses"]["count"] == 0, told["pauses"]
    row = next(process for process in told["processes"] if process["pid"] == int(pid))
    assert row["comm"] == "sleep" and row["why"] is None and row["returnable_bytes"] is None, row
    assert row["rss_bytes"] == row["anon_bytes"] + row["file_bytes"] + row["shmem_bytes"] > 0, row
    assert child.pid not in [process["pid"] for process in told["processes"]], "it tells itself"


def a_vanished_process_is_66():
    pid = ended_pid()
    for arguments in (["why", pid], [pid], [pid, "--json"], ["why", "--no-stop", pid], ["reclaim", pid],
                      ["keep", pid], ["keep", "--undo", pid]):
        result = run(*arguments)
        assert result.returncode == NO_PROCESS, result
        assert result.stderr.count("\n") == 1 and pid in result.stderr, result.stderr
        assert result.stdout == "", result.stdout


def a_full_disk_is_no_success():
    for arguments in (["--version"], ["why", "--help"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([RESIDUE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=60, check=False)
        assert result.returncode == NOT_POSSIBLE and "No space left" in result.stderr, result


def closed_output_is_no_success():
    result = subprocess.run([RESIDUE, "--version"], stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                            preexec_fn=lambda: os.close(1))
    assert result.returncode == NOT_POSSIBLE and "could not be written" in result.stderr, result


class live_process:
    """A process of our own to look at, which nobody else ends."""

    def __enter__(self):
        self.child = subprocess.Popen(["sleep", "600"])
        return str(self.child.pid)

    def __exit__(self, *error):
        self.child.kill()
        self.child.wait()


def json_is_one_object_that_adds_up():
    with live_process() as pid:
        for arguments in ([], ["--no-stop"]):
            result = run("why", "--json", *arguments, pid)
            assert (result.returncode, result.stderr) == (0, ""), result
            told = json.loads(result.stdout)
            assert told["format"] == "residue.why/1" and told["pid"] == int(pid), told
            assert sum(told["ledger"].values()) == told["rss_bytes"] > 0, told


def quiet_is_one_line():
    with live_process() as pid:
        result = run("why", "-q", pid)
    assert result.returncode == 0 and re.fullmatch(r"RSS \d+ KiB: [^\n]+\.\n", result.stdout), result


def report_of(pid, path):
    path.write_text(run("why", "--json", pid).stdout, encoding="utf-8")
    return path


def reports_are_compared():
    with tempfile.TemporaryDirectory() as directory, live_process() as pid:
        old, new = (report_of(pid, Path(directory) / name) for name in ("old.json", "new.json"))
        for arguments in (["why", "--compare", old, pid], ["why", pid, "--compare", old], [pid, f"--compare={old}"],
                          ["why", "--compare", old, new], ["why", new, "--compare", old]):
            text = run(*arguments)
            assert text.returncode == 0 and text.stderr == "" and "\nRSS " in text.stdout, text
            quiet = run(*arguments, "-q")
            assert quiet.returncode == 0 and re.fullmatch(r"RSS [^\n]+\.\n", quiet.stdout), quiet
            told = json.loads(run(*arguments, "--json").stdout)
            assert told["format"] == "residue.why-compare/1" and told["relation"] == "same", told
            rss = told["rss_bytes"]
            assert rss["difference"] == rss["after"] - rss["before"], rss
            assert sum(figure["difference"] for figure in told["ledger"].values()) == rss["difference"], told


def arenas_are_a_table():
    with live_process() as pid:
        plain, tables = run("why", pid).stdout, run("why", "--arenas", pid).stdout
        misuse("why", "--arenas", "--compare", "/nonexistent", pid, says="--arenas is for a look at one process")
        misuse("why", "--arenas", "--all", says="--arenas is for a look at one process")
    assert "returnable\n" not in plain and re.search(r"^  arena .* returnable", tables, re.MULTILINE), tables
    assert re.search(r"^  0x[0-9a-f]+ main +", tables, re.MULTILINE), tables
    assert re.search(r"^  all +", tables, re.MULTILINE), tables


def comparisons_are_asked_for_rightly():
    with tempfile.TemporaryDirectory() as directory, live_process() as pid:
        old = report_of(pid, Path(directory) / "old.json")
        misuse("why", "--compare", str(old), says="which process?")
        misuse("why", "--compare", says="option '--compare' requires an argument")
        misuse("why", "--compare", str(old), "--compare", str(old), pid, says="--compare takes one file")
        misuse("why", "--compare", str(old), str(old), "--no-stop", says="--no-stop")
        misuse("why", "--compare", str(old), pid, "2", says="'2' is one too many")
        for arguments in (["--compare", "/nonexistent/x", pid], ["--compare", str(old), "/nonexistent/x"]):
            misuse("why", *arguments, says="cannot open /nonexistent/x: No such file")
        misuse("why", "--compare", directory, pid, says=f"cannot read {directory}: Is a directory")


def hostile_reports_are_refused():
    with tempfile.TemporaryDirectory() as directory, live_process() as pid:
        old = report_of(pid, Path(directory) / "old.json")
        text, bad = old.read_text(encoding="utf-8"), Path(directory) / "bad.json"
        for content, says in (("", "line 1"), (text[:len(text) // 2], "line "), ("[" * 10 ** 5, "depth"), ("[" * 10 ** 6, "more than 500000 values"),
                              (" " * (17 << 20), "more than 16 MiB"), ("{}", "residue.why/1"),
                              (text.replace('"heap.live"', '"heap.dead"'), "ledger.heap.live is missing"),
                              (text.replace('"rss_bytes": ', '"rss_bytes": 1'), "the ledger adds up to"),
                              (text.replace('"rss_bytes": ', '"rss_bytes": -'), "rss_bytes is negative"),
                              (text.replace('"rss_bytes": ', '"rss_bytes": 99999999999999'), "too big integer")):
            bad.write_text(content, encoding="utf-8")
            for arguments in ([bad, pid], [old, bad]):
                result = run("why", "--compare", *arguments)
                assert result.returncode == NOT_POSSIBLE and result.stdout == "", result
                assert result.stderr.count("\n") == 1 and f"{bad} is not a report" in result.stderr, result.stderr
                assert says in result.stderr, f"{says!r} is not said: {result.stderr}"


def vanished_processes_cannot_be_compared():
    with tempfile.TemporaryDirectory() as directory, live_process() as pid:
        old = report_of(pid, Path(directory) / "old.json")
        result = run("why", "--compare", old, ended_pid())
        assert result.returncode == NO_PROCESS and result.stderr.count("\n") == 1, result


class Skip(Exception):
    """Cannot be tried here; the text says why."""


def on_a_terminal(*arguments, **environment):
    """What is printed on a terminal of 60 columns."""
    try:
        ours, its = pty.openpty()
    except OSError as error:
        raise Skip(f"no pseudo-terminal to be had: {error}") from error
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    child = subprocess.Popen([RESIDUE, *arguments], stdout=its, env={**os.environ, "TERM": "xterm", **environment})
    os.close(its)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:  # EIO: nobody has it open any more
        pass
    os.close(ours)
    assert child.wait() == 0
    return text.replace(b"\r\n", b"\n")


def terminals_get_colour_characters_and_width():
    with live_process() as pid:
        coloured = on_a_terminal("why", pid, NO_COLOR="", LC_ALL="C.UTF-8").decode()
        plain = on_a_terminal("why", pid, NO_COLOR="1", LC_ALL="C.UTF-8").decode()
        ascii_only = on_a_terminal("why", pid, NO_COLOR="1", LC_ALL="C")
    assert "\x1b[1mRSS" in coloured and "\u2588" in coloured, coloured
    assert "\x1b" not in plain and "\u2588" in plain, plain
    assert all(len(line) <= 60 for line in plain.splitlines()), plain
    assert ascii_only.isascii() and b"#" in ascii_only and b"\x1b" not in ascii_only, ascii_only


def a_report_that_is_cut_short_is_no_success():
    with live_process() as pid:
        for option in ("--json", "--no-stop"):
            with open("/dev/full", "w", encoding="ascii") as full:
                result = subprocess.run([RESIDUE, "why", option, pid], stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=60, check=False)
            assert result.returncode == NOT_POSSIBLE and "No space left" in result.stderr, result


def man_pages_name_every_option():
    for verb in ["", *VERBS]:
        page = "residue" + ("-" + verb if verb else "")
        text = (ROOT / "man" / f"{page}.1.scd").read_text(encoding="utf-8")
        found = set(re.findall(r"\*(--[a-z-]+)\*", text))
        missing = options_of(verb) - found
        assert options_of(verb) and not missing, f"{page} lacks {missing}"
        if verb:
            surplus = found - options_of(verb)
            assert not surplus, f"{page} has {surplus}, which the program does not know"
            assert f"*{page}*(1)" in (ROOT / "man/residue.1.scd").read_text(encoding="utf-8"), page


def keys_of(value):
    """The keys of all objects in it."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set()


def promised_keys(test):
    """What a unit test holds the JSON to, also in lists that are empty here."""
    return set(re.findall(r"'([a-z_.]+)':", (ROOT / "src/report" / test).read_text(encoding="utf-8")))


def man_pages_name_every_json_key():
    with live_process() as pid:
        keys = keys_of(json.loads(run("why", "--json", pid).stdout))
    for test in ("test-json.c", "test-compare.c"):
        keys |= promised_keys(test)
    page = (ROOT / "man/residue-why.1.scd").read_text(encoding="utf-8")
    missing = [key for key in sorted(keys) if f"*{key}*" not in page and f"_{key}_" not in page]
    assert len(keys) > 60 and not missing, f"of {len(keys)} keys the man page lacks {missing}"


def the_man_page_of_reclaim_names_every_json_key():
    keys = promised_keys("test-reclaim.c")
    page = (ROOT / "man/residue-reclaim.1.scd").read_text(encoding="utf-8")
    missing = [key for key in sorted(keys) if f"*{key}*" not in page and f"_{key}_" not in page]
    assert len(keys) > 15 and not missing, f"of {len(keys)} keys the man page lacks {missing}"


def the_man_page_of_keep_names_every_json_key():
    keys = promised_keys("test-keep.c")
    page = (ROOT / "man/residue-keep.1.scd").read_text(encoding="utf-8")
    missing = [key for key in sorted(keys) if f"*{key}*" not in page and f"_{key}_" not in page]
    assert len(keys) > 15 and not missing, f"of {len(keys)} keys the man page lacks {missing}"


TESTS = [
    help_goes_to_standard_output,
    help_lists_every_verb,
    version_is_the_projects,
    no_arguments_are_a_usage_error,
    unknown_verbs_are_named,
    unknown_options_are_named,
    bad_process_ids_are_named,
    bad_colors_are_named,
    bad_thread_counts_are_named,
    what_to_reclaim_is_asked_for_rightly,
    what_to_keep_is_asked_for_rightly,
    a_process_without_anything_to_reclaim,
    all_and_cgroup_exclude_others,
    what_is_no_cgroup_is_said,
    all_processes_are_told_without_a_stop,
    a_vanished_process_is_66,
    a_full_disk_is_no_success,
    closed_output_is_no_success,
    json_is_one_object_that_adds_up,
    quiet_is_one_line,
    arenas_are_a_table,
    reports_are_compared,
    comparisons_are_asked_for_rightly,
    hostile_reports_are_refused,
    vanished_processes_cannot_be_compared,
    terminals_get_colour_characters_and_width,
    a_report_that_is_cut_short_is_no_success,
    man_pages_name_every_option,
    man_pages_name_every_json_key,
    the_man_page_of_reclaim_names_every_json_key,
    the_man_page_of_keep_names_every_json_key,
]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, test in enumerate(TESTS, 1):
        name = test.__name__.replace("_", " ")
        try:
            test()
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}")
        except Exception as error:  # a broken test must not hide the next
            failed += 1
            print(f"not ok {number} - {name}")
            print("# " + f"{type(error).__name__}: {error}".replace("\n", "\n# "))
        else:
            print(f"ok {number} - {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
