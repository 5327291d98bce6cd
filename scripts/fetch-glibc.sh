#!/usr/bin/env bash
# usage: scripts/fetch-glibc.sh VERSION DIRECTORY
#
# Makes DIRECTORY a sysroot with that glibc (see tests/glibc/pins.txt) out of Debian's packages. They come
# from the mirror that this machine's apt is set up with, and must have the pinned sha256. The system is left alone.
# Exit code 69 where it cannot be done here, with the reason: no apt, another architecture, a pin that has gone.
set -euo pipefail

version=${1:?usage: fetch-glibc.sh VERSION DIRECTORY}
directory=${2:?usage: fetch-glibc.sh VERSION DIRECTORY}
pins=$(dirname "${BASH_SOURCE[0]}")/../tests/glibc/pins.txt

cannot() { printf 'fetch-glibc: %s\n' "$*" >&2; exit 69; }
source "$(dirname "${BASH_SOURCE[0]}")/debian-pool.sh"

# The linker scripts and the loader's path are absolute, and newer packages rely on a merged /usr.
merge_usr() { # ROOT
    local name
    for name in lib lib64; do
        mkdir -p "$1/usr/$name"
        [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
    done
}

# Absolute links would lead out of the sysroot, to this system's own libraries.
make_links_relative() { # ROOT
    local link target
    while read -r link; do
        target=$(readlink "$link")
        ln -sfn "$(realpath --no-symlinks --canonicalize-missing --relative-to "$(dirname "$link")" "$1$target")" "$link"
    done < <(find "$1" -type l -lname '/*')
}

[ ! -e "$directory/complete" ] || exit 0
pool_is_there
grep -q "^$version " "$pins" || cannot "there is no pin for glibc $version"

mkdir -p "$(dirname "$directory")"
work=$(mktemp -d "$directory.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
while read -r _ path sum; do
    pool_download "$path" "$sum" "$work/${path##*/}"
    dpkg-deb --extract "$work/${path##*/}" "$work/root"
done < <(grep "^$version " "$pins")
merge_usr "$work/root"
make_links_relative "$work/root"
touch "$work/root/complete"
rm -rf "$directory"
mv -T "$work/root" "$directory" 2>/dev/null || [ -e "$directory/complete" ] # another may have been faster
