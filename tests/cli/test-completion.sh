#!/usr/bin/env bash
# usage: test-completion.sh RESIDUE SOURCE_ROOT
# Asks bash's completion what a user would, and compares it with the program. Output is TAP.
set -u
residue=$1
script=$2/completions/residue
number=0
failures=0

# check NAME WANTED GOT
check() {
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '# wanted: %s\n# got:    %s\n' "$2" "$3"
        failures=$((failures + 1))
    fi
}

# complete_words WORD...: what completing the last word offers, sorted, on one line
complete_words() {
    COMP_WORDS=(residue "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _residue
    printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}

long_options() {
    "$residue" "$@" --help | grep -oE '^ .*--[a-z][a-z-]*=?' | grep -oE -e '--[a-z-]+=?' | sort -u | paste -sd ' '
}

echo 1..24
check "bash parses it" "" "$(bash -n "$script" 2>&1)"
. "$script"
check "it is registered" "complete -F _residue residue" "$(complete -p residue)"
check "verbs come first" "why" "$(complete_words w)"
check "so do processes" "$$" "$(complete_words "$$" | tr ' ' '\n' | grep -x "$$")"
check "a verb takes a process" "$$" "$(complete_words why "$$" | tr ' ' '\n' | grep -x "$$")"
check "options before a verb are the program's" "$(long_options)" "$(complete_words --)"
check "options of why are the program's" "$(long_options why)" "$(complete_words why --)"
check "a process id stands for why" "$(long_options why)" "$(complete_words 1 --)"
check "colours, as one word" "--color=always --color=auto" "$(complete_words why --color=a)"
check "colours, as bash breaks words" "always auto" "$(complete_words why --color = a)"
check "files to compare with" "$2/meson.build" "$(complete_words why --compare "$2/meson.bui")"
check "a report before the process" "$(long_options why)" "$(complete_words why --compare old.json --)"
check "directories of cgroups, as one word" "--cgroup=/sys/fs/cgroup" "$(complete_words why --cgroup=/sys/fs/cgr)"
check "directories of cgroups, as bash breaks words" "/sys/fs/cgroup" "$(complete_words why --cgroup = /sys/fs/cgr)"
check "a verb by its beginning" "reclaim" "$(complete_words rec)"
check "options of reclaim are the program's" "$(long_options reclaim)" "$(complete_words reclaim --)"
check "reclaim takes a process" "$$" "$(complete_words reclaim "$$" | tr ' ' '\n' | grep -x "$$")"
check "cures, as bash breaks words" "zero-pages" "$(complete_words reclaim --only = z)"
check "cures, as one word" "--only=free-pages" "$(complete_words reclaim --only=f)"
check "options of keep are the program's" "$(long_options keep)" "$(complete_words keep --)"
check "keep takes a process" "$$" "$(complete_words keep "$$" | tr ' ' '\n' | grep -x "$$")"
check "huge pages, as bash breaks words" "advised auto" "$(complete_words keep --huge-pages = a)"
check "huge pages, as one word" "--huge-pages=none" "$(complete_words keep --huge-pages=n)"
check "another's options are not offered" "" "$(complete_words nonsense --)"
exit $((failures > 0))
