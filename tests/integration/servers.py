"""Servers of the tests' own: in temporary directories, on sockets of their own, ended when the scope is left."""
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import tap
from processes import clean_environment, end, start, wait_until

MEMCACHED_BYTES = 4 << 20
REDIS_VALUES, REDIS_VALUE_BYTES = 64, 1 << 16


def _find(name, pattern=None):
    found = sorted(glob.glob(pattern)) if pattern else [path for path in [shutil.which(name, path=os.defpath + ":/usr/sbin")] if path]
    if not found:
        raise tap.Skip(f"{name} is not installed")
    return found[-1]


def _answers(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _directory(user=None):
    """A short path: socket names are limited to 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="residue-", dir="/tmp") as directory:
        if user:
            shutil.chown(directory, user)
        yield directory


@contextlib.contextmanager
def _running(command, socket_path, stop=signal.SIGTERM, **options):
    with open(os.devnull, "r+b") as null:
        process = start(command, stdout=null, stderr=null, **options)
    try:
        wait_until(f"{command[0]} answers", lambda: process.poll() is not None or _answers(socket_path))
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        yield process
    finally:
        end(process, stop)


NGINX = """daemon off; master_process on; worker_processes 2; pid {0}/pid; error_log {0}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;
  uwsgi_temp_path {0}/d; scgi_temp_path {0}/e;
  server {{ listen unix:{0}/socket; location / {{ return 200 "hello"; }} }} }}
"""


def _request(path, text, answer):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        client.sendall(text)
        found = client.recv(4096)
    assert found.startswith(answer), found


@contextlib.contextmanager
def nginx():
    program = _find("nginx")
    with _directory() as directory:
        os.chmod(directory, 0o755)
        Path(directory, "conf").write_text(NGINX.format(directory), encoding="ascii")
        command = [program, "-e", f"{directory}/error.log", "-p", directory, "-c", f"{directory}/conf"]
        with _running(command, f"{directory}/socket") as process:
            for _ in range(200):
                _request(f"{directory}/socket", b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200")
            yield process


def _store(path):
    value = b"x" * 1000
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"".join(b"set k%d 0 0 1000 noreply\r\n%s\r\n" % (i, value)
                                for i in range(MEMCACHED_BYTES // 1000)) + b"version\r\n")
        assert client.recv(4096).startswith(b"VERSION")


@contextlib.contextmanager
def memcached():
    program = _find("memcached")
    with _directory() as directory:
        command = [program, "-s", f"{directory}/socket", "-m", "64", "-t", "4"]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        with _running(command, f"{directory}/socket") as process:
            _store(f"{directory}/socket")
            yield process


def _redis_answer(path, *command):
    """What the server says to a command, without its type and length."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        client.sendall(b"".join([b"*%d\r\n" % len(command)] + [b"$%d\r\n%s\r\n" % (len(part), part) for part in command]))
        with client.makefile("rb") as answer:
            first = answer.readline()
            assert first[:1] in b"+$:", first
            return (answer.read(int(first[1:])) if first[:1] == b"$" else first[1:]).decode()


class _Redis:
    def __init__(self, process, path):
        self.pid = process.pid
        self.path = path

    def memory(self):
        """What it says of its memory: {"used_memory": "870704", "mem_allocator": "jemalloc-5.3.0", ...}."""
        lines = _redis_answer(self.path, b"INFO", b"memory").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


@contextlib.contextmanager
def redis():
    program = _find("redis-server")
    with _directory() as directory:
        path = f"{directory}/socket"
        command = [program, "--port", "0", "--unixsocket", path, "--dir", directory, "--save", ""]
        with _running(command, path) as process:
            for i in range(REDIS_VALUES):
                _redis_answer(path, b"SET", b"k%d" % i, b"x" * REDIS_VALUE_BYTES)
            yield _Redis(process, path)


class _Postgres:
    def __init__(self, process, folder, directory, user):
        self.pid = process.pid
        self.folder, self.directory, self.user = folder, directory, user

    def bench(self):
        """Some seconds of work, as a process."""
        return start([f"{self.folder}/pgbench", "-h", self.directory, "-U", "tester", "-c", "4", "-T", "5", "postgres"],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.user)


@contextlib.contextmanager
def postgres():
    folder = os.path.dirname(_find("postgresql", "/usr/lib/postgresql/*/bin/initdb"))
    user = {}
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError as error:
            raise tap.Skip("there is no user postgres, and it does not run as root") from error
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}
    with _directory(user.get("user")) as directory:
        def work(*command):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                                  env=clean_environment(), **user)
            assert done.returncode == 0, done.stderr

        work(f"{folder}/initdb", "-D", f"{directory}/data", "-A", "trust", "-U", "tester", "--no-sync")
        command = [f"{folder}/postgres", "-D", f"{directory}/data", "-k", directory, "-c", "listen_addresses=",
                   "-c", "fsync=off"]
        # SIGINT: postgres ends its own processes.
        with _running(command, f"{directory}/.s.PGSQL.5432", signal.SIGINT, **user) as process:
            tools = ["-h", directory, "-U", "tester"]
            wait_until("postgres is ready", lambda: subprocess.run([f"{folder}/pg_isready", *tools], check=False,
                                                                   capture_output=True).returncode == 0)
            work(f"{folder}/pgbench", *tools, "-i", "-q", "-s", "5", "postgres")
            yield _Postgres(process, folder, directory, user)
