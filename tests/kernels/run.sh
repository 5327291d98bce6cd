#!/usr/bin/env bash
# usage: tests/kernels/run.sh RESIDUE HEAP_VICTIM CHAOS_VICTIM INJECT_CALLS DIRECTORY
#
# Runs the static RESIDUE on the old kernels of pins.txt, in virtual machines without hardware support (a minute or so
# each). There status and statm are estimates and PAGEMAP_SCAN (6.7) does not exist. HEAP_VICTIM brings this system's
# C library along. Kernels are kept in DIRECTORY. Output is TAP; init.sh says what is checked.
set -euo pipefail

usage='usage: run.sh RESIDUE HEAP_VICTIM CHAOS_VICTIM INJECT_CALLS DIRECTORY'
residue=${1:?$usage}
victim=${2:?$usage}
chaos_victim=${3:?$usage}
inject_calls=${4:?$usage}
directory=${5:?$usage}
here=$(dirname "${BASH_SOURCE[0]}")
seconds=600 # for one machine: against endless waiting, many times what it takes
machine=
number=0
failures=0

cannot() { printf '%s\n' "$*" >&2; exit 69; }
source "$here/../../scripts/debian-pool.sh"

result() { # LINE without number
    number=$((number + 1))
    case $1 in
    not*) failures=$((failures + 1)) && echo "not ok $number${1#not ok}" ;;
    *) echo "ok $number${1#ok}" ;;
    esac
}

# Only while it is a job of ours that runs: its id may be another's later.
end_machine() {
    if [ -n "$machine" ] && jobs -pr | grep -qx "$machine"; then
        kill -KILL "$machine"
        wait "$machine" || true
    fi
    machine=
}

need() {
    command -v "$1" >/dev/null || cannot "there is no $1 here: ./setup.sh kernels installs it"
}

fetch_kernel() { # PATH SHA256 FILE
    [ ! -e "$3" ] || return 0
    pool_is_there
    pool_download "$1" "$2" "$work/${1##*/}" &&
        mkdir "$work/package" &&
        dpkg-deb --extract "$work/${1##*/}" "$work/package" &&
        mv "$work"/package/boot/vmlinuz-* "$3.new" &&
        mv "$3.new" "$3"
}

# A program and the libraries and the loader that it asks for, where it will look for them.
install_program() { # PROGRAM PATH
    install -D "$1" "$work/root$2"
    local library
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        install -D "$library" "$work/root$library"
    done
}

make_initramfs() {
    mkdir -p "$work/root"/{proc,sys,dev}
    install_program "$(command -v busybox)" /bin/busybox
    install_program "$residue" /bin/residue
    install_program "$victim" /heap-victim
    install_program "$chaos_victim" /chaos-victim
    install_program "$inject_calls" /inject-calls
    install "$here/init.sh" "$work/root/init"
    (cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs"
}

# Two CPUs, for the kernel's counters to be spread. A panic ends it, too: panic=-1 and -no-reboot.
boot() { # KERNEL CGROUPS
    local waited=0
    nice qemu-system-x86_64 -accel tcg -smp 2 -m 1024 -nodefaults -display none -no-reboot \
        -kernel "$1" -initrd "$work/initramfs" -append "console=ttyS0 quiet loglevel=1 panic=-1 cgroups=$2" \
        -serial "file:$work/console" </dev/null 2>"$work/errors" &
    machine=$!
    while [ "$waited" -lt "$seconds" ] && jobs -pr | grep -qx "$machine"; do
        sleep 1
        waited=$((waited + 1))
    done
    end_machine
    wait || true
    touch "$work/console"
}

# All that was planned must have been told, and failed where it did: silence is no success.
judge() { # VERSION
    local line told=0 planned=-1 ended=no
    while read -r line; do
        case $line in
        '#'*) echo "# ${line#\# }" ;;
        1..*) planned=${line#1..} ;;
        end) ended=yes ;;
        *)
            told=$((told + 1))
            result "${line%% - *} - linux $1: ${line#* - }"
            ;;
        esac
    done < <(tr -d '\r' <"$work/console" | sed -n 's/^TAP //p')
    if [ "$told" = "$planned" ] && [ $ended = yes ]; then
        result "ok - linux $1: it came to its end"
    else
        result "not ok - linux $1: $told of $planned results, end: $ended"
        tail -n 30 "$work/console" "$work/errors" | tr -d '\r' | sed 's/^/# /'
    fi
}

work=$(mktemp -d)
trap 'end_machine; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

reason=$( (need qemu-system-x86_64 && need busybox) 2>&1) || { echo "1..0 # SKIP $reason"; exit 0; }
make_initramfs
mkdir -p "$directory"
while read -r version cgroups path sum; do
    kernel=$directory/vmlinuz-$version
    rm -rf "$work/package" "$work/console" "$work/errors"
    fetched=0
    reason=$(fetch_kernel "$path" "$sum" "$kernel" 2>&1) || fetched=$?
    case $fetched in
    0) boot "$kernel" "$cgroups" && judge "$version" ;;
    69) result "ok - linux $version # SKIP ${reason##*$'\n'}" ;;
    *) result "not ok - linux $version cannot be unpacked: ${reason##*$'\n'}" ;;
    esac
done < <(grep -v '^#' "$here/pins.txt")
echo "1..$number"
exit $((failures > 0))
