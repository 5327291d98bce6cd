"""A service as many are: it reads documents, keeps a short digest of each, and drops the documents.

What it holds at the end is a few MiB; what the kernel says it holds is another matter. Two habits of glibc's malloc
make the difference. Freeing a large block raises the size from which blocks get a mapping of their own, so that later
ones come from the heap; and the heap can only shrink at its end, where a digest happens to lie.
"""
import hashlib
import signal

MIB = 1 << 20
ROUNDS = 6
SIZES_MIB = (1, 2, 3, 5, 8, 12, 18, 24, 30) * 3


def read_documents():
    """What a round works on: a few large strings, and lists of two hundred thousand entries."""
    documents = [bytes([65 + size]) * (size * MIB) for size in SIZES_MIB]
    tables = [list(range(200_000)) for _ in range(10)]
    return documents, tables


def digest(document):
    """Small, but too large for Python's own small-object allocator: malloc has to place it."""
    return hashlib.sha256(document[:4096]).hexdigest().encode() * 16


def resident_mib():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    raise RuntimeError("/proc/self/status has no VmRSS line")


def main():
    kept = []
    started = resident_mib()
    for _ in range(ROUNDS):
        documents, tables = read_documents()
        kept.extend(digest(document) for document in documents)
        del documents, tables
    holds = sum(len(entry) for entry in kept) // 1024
    print(f"ready: started with {started} MiB, dropped every document, keeps {holds} KiB of digests;"
          f" resident now: {resident_mib()} MiB", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
