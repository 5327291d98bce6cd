#!/usr/bin/env python3
"""Real programs give memory back while they work: as much as was predicted, and they go on as if nothing had been.

And processes that notice whatever happens to them (see test-chaos.py).
"""
import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess

import kernel
import residue
import servers
import tap
from processes import end, read_line, start, wait_until

chaos = importlib.import_module("test-chaos")

PROGRAM = {   # each drops most of what it has made, keeps some, and tells a sum of that as often as it is asked
    "python3": ["-c", """
import sys, hashlib
made = [bytes([i % 256]) * (i % 5000) for i in range(40000)]
kept = made[::97]
del made
print('ready', flush=True)
for line in sys.stdin:
    more = [bytes(3000) for _ in range(5000)]
    del more
    print(hashlib.sha256(b''.join(kept)).hexdigest(), flush=True)
"""],
    "ruby": ["-e", """
require 'digest'
threads = (0...25).map { |n| Thread.new { a = (0...3000).map { |i| (n.to_s * (i % 900)) }; a.each_slice(97).map(&:first) } }
kept = threads.map(&:value)
GC.start
STDOUT.puts 'ready'; STDOUT.flush
while STDIN.gets
  more = (0...5000).map { 'x' * 3000 }
  more = nil
  GC.start
  STDOUT.puts Digest::SHA256.hexdigest(kept.flatten.join); STDOUT.flush
end
"""],
    "perl": ["-e", """
use Digest::SHA qw(sha256_hex);
my @made = map { chr(65 + $_ % 26) x ($_ % 5000) } 0 .. 40000;
my @kept = map { $made[97 * $_] } 0 .. 400;
@made = ();
$| = 1;
print "ready\\n";
while (<STDIN>) { my @more = map { 'x' x 3000 } 0 .. 5000; @more = (); print sha256_hex(join('', @kept)), "\\n"; }
"""],
}


def reclaim(pid, codes=(0,)):
    result = residue.run("reclaim", "--json", pid)
    assert result.returncode in codes, result
    return json.loads(result.stdout) if result.returncode in (0, 1) else None


def told(name, said):
    figures = {cure["name"]: (cure["predicted_rss_bytes"], cure["returned_rss_bytes"]) for cure in said["cures"]}
    left = {skip["reason"]: skip["bytes"] for cure in said["cures"] for skip in cure["skipped"]}
    tap.note(f"{name}: RSS {said['rss_before_bytes']} to {said['rss_after_bytes']}; predicted and returned {figures}; left {left}")
    for predicted, returned in figures.values():
        assert abs(returned - predicted) <= predicted // 100 + kernel.PAGE, said
    return sum(returned for _, returned in figures.values())


def family(pid):
    found, rest = [], [pid]
    while rest:
        current = rest.pop()
        found.append(current)
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{current}/task/{current}/children", encoding="ascii") as file:
            rest += map(int, file.read().split())
    return found


def language(name):
    path = shutil.which(name, path="/usr/bin:" + os.environ.get("PATH", ""))
    if not path:
        raise tap.Skip(f"{name} is not installed")
    process = start([path, *PROGRAM[name]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask():
        process.stdin.write(b"\n")
        return read_line(process)

    tap.equal("it said", read_line(process), "ready")
    sums, before = {ask()}, kernel.rss(process.pid)
    returned, after = told(name, reclaim(process.pid)), kernel.rss(process.pid)
    assert after <= before - returned + (64 << 10), (before, after, returned)
    for _ in range(3):
        sums.add(ask())
        told(name, reclaim(process.pid))
    tap.equal("sums of what it keeps", len(sums), 1)
    end(process)


def nginx():
    with servers.nginx() as server:
        for pid in family(server.pid):
            told(f"nginx {pid}", reclaim(pid))
        directory = server.args[server.args.index("-p") + 1]
        for _ in range(100):
            servers._request(f"{directory}/socket", b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200")


def memcached():
    with servers.memcached() as server:
        path = server.args[server.args.index("-s") + 1]
        for _ in range(3):
            told("memcached", reclaim(server.pid))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            with client.makefile("rb") as answer:
                for i in range(0, servers.MEMCACHED_BYTES // 1000, 7):
                    client.sendall(b"get k%d\r\n" % i)
                    tap.equal("header", answer.readline(), b"VALUE k%d 0 1000\r\n" % i)
                    tap.equal("value", answer.readline(), b"x" * 1000 + b"\r\n")
                    tap.equal("end", answer.readline(), b"END\r\n")


def postgres():
    """All of its processes, while clients work: they come, go and change meanwhile, and no query fails."""
    with servers.postgres() as server:
        for pid in family(server.pid):
            said = reclaim(pid, codes=(0, 66, 69))   # some end by themselves
            if said:
                told(f"postgres {pid}", said)
        bench, codes, returned = server.bench(), {}, 0
        while bench.poll() is None:
            for pid in family(server.pid):
                result = residue.run("reclaim", "--json", pid)
                codes[result.returncode] = codes.get(result.returncode, 0) + 1
                assert result.returncode in (0, 1, 66, 69), result
                if result.returncode < 2:
                    returned += sum(cure["returned_rss_bytes"] for cure in json.loads(result.stdout)["cures"])
        tap.note(f"while clients worked: exit codes {codes}, {returned >> 10} KiB came back")
        tap.equal("exit code of pgbench", bench.returncode, 0)


def noticing(role):
    """Nothing is to be noticed but what SIGSTOP and SIGCONT show."""
    codes = {}
    with chaos.Victim(role) as victim:
        for number in range(8):
            environment = dict(os.environ)
            if number % 2:   # in any state of it
                environment.update(RESIDUE_TEST_DIE_AT=str(number * 9), RESIDUE_TEST_DIE="program")
            result = residue.run("reclaim", "--json", victim.pid, env=environment)
            codes[result.returncode] = codes.get(result.returncode, 0) + 1
            assert result.returncode in (0, 1, 69, -signal.SIGKILL), result
            wait_until("nobody traces it", lambda: kernel.status(victim.pid)["TracerPid"] == 0)
            victim.assert_it_goes_on()
        victim.leave()
    tap.note(f"{role}: exit codes {codes}")


tap.run([(name, lambda name=name: language(name)) for name in PROGRAM] +
        [("nginx", nginx), ("memcached", memcached), ("postgres", postgres)] +
        [(f"{role} notices nothing", lambda role=role: noticing(role)) for role in chaos.ROLES if role not in ("exec", "vfork")])
