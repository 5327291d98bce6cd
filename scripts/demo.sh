#!/usr/bin/env bash
# usage: scripts/demo.sh RESIDUE
# Starts a Python process that dropped its data and kept the memory, explains it, and ends it again.
set -euo pipefail

residue=${1:?usage: scripts/demo.sh RESIDUE}
here=$(dirname "${BASH_SOURCE[0]}")
python=/usr/bin/python3 # Debian's, which uses glibc's malloc; a python of one's own may use another
patience=120            # seconds

# Without MALLOC_* settings of the caller's shell: the demo is about the defaults.
exec {from_python}< <(
    for name in $(compgen -v MALLOC_) GLIBC_TUNABLES PYTHONMALLOC; do unset "$name"; done
    echo "$BASHPID"
    exec "$python" "$here/../demo/drop_lists.py"
)
read -r -u "$from_python" pid
trap 'kill "$pid" 2>/dev/null || true' EXIT

echo "\$ python3 demo/drop_lists.py &     # process $pid"
read -r -t "$patience" -u "$from_python" line || {
    echo "demo: process $pid said nothing in $patience seconds, or it failed" >&2
    exit 1
}
echo "$line"
echo
echo "\$ residue why $pid"
"$residue" why "$pid"
