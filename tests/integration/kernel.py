"""What the kernel says of a process, read here and not through residue."""
import os
import re
import struct
from pathlib import Path

PAGE = 4096
HUGE = 2 << 20
PF_KTHREAD = 0x200000


def release():
    return tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def _fields(path):
    """{name: value} of "Name:  12 kB" lines, bytes for kB."""
    found = {}
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"(\w+):\s+(\d+)( kB)?$", line)
        if match:
            found[match[1]] = int(match[2]) * (1024 if match[3] else 1)
    return found


def smaps_rollup(pid):
    return _fields(f"/proc/{pid}/smaps_rollup")


def status(pid):
    return _fields(f"/proc/{pid}/status")


def rss(pid):
    """Exact on every kernel: the page tables are walked."""
    return smaps_rollup(pid)["Rss"]


def statm_rss(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def statm_is_exact():
    """Since 6.16 (and some 6.12 and 6.15) the per-CPU counters are summed up."""
    return release() >= (6, 16)


def state(pid):
    """The letter of its state, and its kernel flags."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[6])


def kernel_thread():
    """The id of some kernel thread, or None (as in a container)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if state(entry.name)[1] & PF_KTHREAD:
                    return int(entry.name)
            except OSError:
                continue
    return None


def smaps(pid):
    """[(start, end, name, {field: bytes})] of every mapping."""
    mappings = []
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)", line)
        field = re.match(r"(\w+):\s+(\d+) kB$", line)
        if head:
            mappings.append((int(head[1], 16), int(head[2], 16), head[5], {"inode": int(head[4])}))
        elif field:
            mappings[-1][3][field[1]] = int(field[2]) * 1024
    return mappings


def pagemap(pid, start, end):
    """The raw entries of [start, end)."""
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        return os.pread(file.fileno(), (end - start) // PAGE * 8, start // PAGE * 8)


def entries(raw):
    return struct.unpack(f"<{len(raw) // 8}Q", raw)


def reserved_huge_pages():
    with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as file:
        return int(file.read())
