#!/usr/bin/env bash
# Makes the inputs of tests/fuzz/corpus that are compiled: seeds/make.sh CORPUS_DIRECTORY
set -euo pipefail
corpus=$1
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What unwind.c makes of its input: the code at 0x1000, the frames at 0x2400; before them pc, words and lost registers.
unwind_seed() { # NAME PC
    python3 - "$work/frames" "$corpus/unwind/$1" "$2" <<'PYTHON'
import struct, sys
frames = open(sys.argv[1], "rb").read()
stack = [0x1010 + 64 * (i % 12) if i % 3 == 1 else 0x2000 + 8 * i for i in range(48)]
stack[20], stack[21] = 0x2080, 0x1010
open(sys.argv[2], "wb").write(struct.pack("<HHH", int(sys.argv[3], 0), len(stack), 0)
                              + b"".join(struct.pack("<Q", word) for word in stack) + frames)
PYTHON
}
gcc -c -o "$work/frames.o" "$here/frames.s"
ld -shared -Ttext=0x1000 --section-start=.eh_frame=0x2400 -o "$work/frames.so" "$work/frames.o"
objcopy -O binary -j .eh_frame "$work/frames.so" "$work/frames"
unwind_seed usual 0x1010
unwind_seed signalled 0x11f0
unwind_seed realigned 0x1240

flags=(-O1 -fPIC -nostdlib -shared -fno-stack-protector -fno-builtin -w -s -Wl,-z,noseparate-code -Wl,--build-id=sha1)
gcc "${flags[@]}" -Wl,--hash-style=gnu -o "$corpus/elf/gnu-hash" "$here/image.c"
gcc "${flags[@]}" -Wl,--hash-style=sysv -Wl,-z,now -Wl,--no-eh-frame-hdr -o "$corpus/elf/sysv-hash" "$here/image.c"
printf 'int free; void malloc(void) {} void _start(void) { malloc(); }' >"$work/static.c"
gcc -O0 -w -static -nostdlib -s -Wl,-z,noseparate-code -Wl,--no-eh-frame-hdr -o "$corpus/elf/static" "$work/static.c"
{
    printf '\t.section .go.buildinfo,"aw"\n\t.ascii "\\xff Go buildinf:"\n\t.byte 8, 2\n\t.skip 16\n'
    printf '\t.byte 8\n\t.ascii "go1.23.5"\n'
} >"$work/go.s"
gcc -nostdlib -shared -s -Wl,-z,noseparate-code -o "$corpus/elf/go" "$work/go.s"
for name in gnu-hash sysv-hash go; do # of files, and of the memory of a vDSO: see elf.c
    cp "$corpus/elf/$name" "$corpus/elf/$name-file"
    printf '\1' | dd of="$corpus/elf/$name-file" bs=1 seek=9 conv=notrunc status=none
done
cp "$corpus/elf/gnu-hash" "$corpus/elf/vdso"
printf '\2' | dd of="$corpus/elf/vdso" bs=1 seek=9 conv=notrunc status=none
chmod a-x "$corpus"/elf/*

# tests/fuzz/processes/NAME are captured with the libc that they are named for:
#     gcc -O1 -pthread -o heap seeds/heap.c
#     ./heap & build/tests/fuzz/fuzz-capture $! > processes/glibc-2.36-threads      (ninja -C build tests/fuzz/fuzz-capture)
#     ./heap 1 & build/tests/fuzz/fuzz-capture $! > processes/glibc-2.36-single
