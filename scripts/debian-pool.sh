# Sourced, not run: pinned packages out of Debian's pool, from the mirror that this machine's apt is set up with.
# Whoever sources it defines cannot(), which tells the reason and ends the script with exit code 69.

apt_helper=/usr/lib/apt/apt-helper

pool_is_there() {
    [ "$(uname -m)" = x86_64 ] || cannot "the pinned packages are for x86_64, this is $(uname -m)"
    [ -x "$apt_helper" ] && command -v dpkg-deb >/dev/null || cannot "this system has no apt"
}

# Base addresses of Debian's main archive, as apt's configuration names them.
pool_mirrors() {
    apt-get indextargets 'Created-By: Packages' --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" && !seen[$3]++ {print $3}'
}

# Lists in a directory of our own are not asked for: the pool's paths and the sums are all there is to know.
pool_download() { # PATH SHA256 FILE
    local mirror
    while read -r mirror; do
        if "$apt_helper" -o APT::Sandbox::User=root download-file "$mirror$1" "$3" "SHA256:$2" \
            >>"$3.log" 2>&1 </dev/null; then
            echo "$2  $3" | sha256sum --check --quiet
            return
        fi
    done < <(pool_mirrors)
    cannot "${1##*/} cannot be had from this machine's mirror any more: $(tail -n 1 "$3.log" 2>/dev/null || true)"
}
