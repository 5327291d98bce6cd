#!/usr/bin/env bash
# Installs what building and testing need on Debian 12 and its kin; does nothing when all of it is there.
#
#   ./setup.sh build    what `make` and `make static` need
#   ./setup.sh test     that, and what the tests need (the default)
#   ./setup.sh kernels  what `make kernels` needs: `build`, and virtual machines
#
# Services that come along (nginx, memcached, postgresql, redis) are not started: the tests start their own.
set -euo pipefail

build_packages=(
    make gcc libc6-dev meson ninja-build pkg-config scdoc python3
    libdw-dev libelf-dev libjansson-dev zlib1g-dev liblzma-dev libbz2-dev
)
test_packages=(
    libcmocka-dev libseccomp-dev clang libclang-rt-dev clang-format binutils file git
    ruby nginx memcached postgresql redis-server php-cli erlang-base procps
    libjemalloc2 libjemalloc-dev libmimalloc2.0 libtcmalloc-minimal4 libgoogle-perftools4 libgc1
    musl-tools golang-go luajit default-jdk-headless
)
kernels_packages=(qemu-system-x86 busybox-static)

policy=/usr/sbin/policy-rc.d
policy_mark='# residue/setup.sh: no service starts during this installation'

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

wanted_packages() {
    printf '%s\n' "${build_packages[@]}"
    [ "$1" != kernels ] || printf '%s\n' "${kernels_packages[@]}"
    [ "$1" = test ] || return 0
    printf '%s\n' "${test_packages[@]}"
    # Whoever has a node already keeps it: another source's package would clash with Debian's.
    command -v node >/dev/null || echo nodejs
}

missing_packages() {
    local installed
    installed=$(dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null |
        awk '/ ok installed$/ {print $1}')
    comm -23 <(wanted_packages "$1" | sort -u) <(sort -u <<<"$installed")
}

# invoke-rc.d asks policy-rc.d; 101 means "not allowed". Another's policy is left as it is.
remove_policy() {
    if grep -qsxF "$policy_mark" "$policy"; then
        $sudo rm -f "$policy"
    fi
}

forbid_service_starts() {
    [ ! -e "$policy" ] || return 0
    trap remove_policy EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
}

install_packages() {
    local apt=($sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    remove_policy # what a killed run of ours may have left behind
    forbid_service_starts
    "${apt[@]}" update
    "${apt[@]}" install --yes --no-install-recommends "$@" </dev/null
}

main() {
    local mode=${1:-test} missing
    case $mode in
    build | test | kernels) ;;
    *)
        echo "usage: setup.sh [build|test|kernels]" >&2
        exit 64
        ;;
    esac
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        die "this system has no apt; install what these Debian packages hold, then go on with make:" \
            $(wanted_packages "$mode")
    mapfile -t missing < <(missing_packages "$mode")
    [ "${#missing[@]}" -gt 0 ] || return 0
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "run this as root, or install sudo; these packages are missing: ${missing[*]}"
        sudo=sudo
    fi
    say "installing ${missing[*]}"
    install_packages "${missing[@]}"
}

main "$@"
