#!/usr/bin/env bash
# usage: test-static.sh RESIDUE
# A static program needs no loader and no library, has no symbols to spare, and runs. Output is TAP.
set -u
residue=$1
failures=0

# check NUMBER NAME RESULT: RESULT is what should be empty
check() {
    if [ -z "$3" ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        sed 's/^/# /' <<<"$3"
        failures=$((failures + 1))
    fi
}

headers=$(readelf --wide --program-headers --dynamic --sections "$residue") || headers="readelf failed: INTERP NEEDED"
echo 1..5
check 1 "it asks for no loader" "$(grep -w INTERP <<<"$headers")"
check 2 "it needs no shared library" "$(grep -w NEEDED <<<"$headers")"
check 3 "it is stripped" "$(grep -wF .symtab <<<"$headers")"
check 4 "it is position independent" "$(grep -q 'Elf file type is DYN' <<<"$headers" || head -n 3 <<<"$headers")"
version=$(env -i "$residue" --version 2>&1) || version="exit code $?: $version"
check 5 "it runs" "$(grep -vx 'residue [0-9.]*' <<<"$version")"
exit $((failures > 0))
