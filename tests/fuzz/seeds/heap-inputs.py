#!/usr/bin/env python3
"""Writes inputs for tests/fuzz/heap.c that hurt a known place: what a fuzzer would need long to come upon.

usage: heap-inputs.py PROCESSES_DIRECTORY CORPUS_DIRECTORY

They are made for the process glibc-2.36-threads, and have to be made again when that is captured again.
"""
import struct
import sys
from pathlib import Path

PROCESS = 0   # its place in heap.c's list
EDIT_SET, EDIT_ADD, EDIT_SPLIT = 0, 2, 6
# glibc 2.35 to 2.41
HEAP_INFO, FASTBINS, TOP, BINS, SYSTEM_MEM, TCACHE_ENTRIES = 48, 16, 96, 112, 2184, 128


class Process:
    def __init__(self, path):
        self.memory, self.pages, self.threads, page = {}, [], [], None
        for line in path.read_text().splitlines():
            kind, *rest = line.split()
            if kind == "page":
                page = int(rest[0], 16)
                self.pages.append(page)
            elif kind == "thread":
                self.threads.append(int(rest[1], 16))
            elif kind[0] == "@":
                for i, word in enumerate(rest):
                    self.memory[page + int(kind[1:], 16) + 8 * i] = int(word, 16)
        # As find_words in process.c: a word behind one in use counts too, unless it lies beyond its extent.
        behind = {a + 8 for a in self.memory if a + 8 not in self.memory and (a + 8) & ~4095 in self.pages}
        self.words = sorted({*self.memory, *behind})

    def word(self, address):
        return self.memory.get(address, 0)

    def edit(self, address, value, kind=EDIT_SET):
        return struct.pack("<BBHQ", kind, 0, self.words.index(address), value & (1 << 64) - 1)


def inputs(p):
    """(name, edits) for each."""
    heap = next(page for page in p.pages if page % (64 << 20) == 0)
    arena = heap + HEAP_INFO
    top = p.word(arena + TOP)
    tcache = next(p.word(t - 0x48) for t in p.threads if p.word(t - 0x48) & ~((64 << 20) - 1) == heap)
    entry = next(e for e in (p.word(tcache + TCACHE_ENTRIES + 8 * i) for i in range(64)) if e)
    yield "tcache-loop", p.edit(entry, entry >> 12 ^ entry)
    yield "heap-before-itself", p.edit(heap + 8, heap) + p.edit(arena + SYSTEM_MEM, 2 * p.word(arena + SYSTEM_MEM))
    yield "top-beyond-mapping", b"".join(p.edit(a, 16 << 20, EDIT_ADD) for a in (arena + SYSTEM_MEM, heap + 16, top + 8))
    for i in range(10):
        chunk = p.word(arena + FASTBINS + 8 * i)
        if chunk:
            yield "fastbin-loop", p.edit(chunk + 16, (chunk + 16) >> 12 ^ chunk)
            break
    for i in range(127):
        head = arena + BINS + 16 * i
        if p.word(head) != head - 16:
            yield "chunk-on-no-list", p.edit(p.word(head) + 16, p.word(head))
            yield "bin-into-another-arena", p.edit(head, p.words[0] & ~15)
            break
    yield "ring-of-one", p.edit(arena + 2160, arena)
    yield "live-chunk-split", p.edit(tcache - 8, 0x150, EDIT_SPLIT)


def main(processes, corpus):
    process = Process(processes / "glibc-2.36-threads")
    for name, edits in inputs(process):
        (corpus / "heap" / name).write_bytes(struct.pack("<8B", PROCESS, len(edits) // 12, *[0] * 6) + edits)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
