#!/bin/busybox sh
# The first process of tests/kernels/run.sh's virtual machines: holds what residue says against what the kernel says.
# Lines for run.sh begin with "TAP ", for the kernel writes to the same console. `cgroups` (1 or 2) is a boot parameter.

PAGE=4096
STOCK=$((2 * 64 * PAGE)) # what two CPUs may have charged in advance (MEMCG_CHARGE_BATCH)

heaps="quiet threads-few-survivors fork-shared"
mappings="huge-zero" # malloc has no part in these
surveys=5 looks=9 trims=3 # checks in survey(), look() and trim()
roles="read select pselect sleep workers" chaos=3 # of chaos-victim; checks in chaos()

tell() { echo "TAP $*"; }

check() { # NAME RESULT: the test's exit code
    if [ "$2" -eq 0 ]; then tell "ok - $heap: $1"; else tell "not ok - $heap: $1"; fi
}

check_equal() { # NAME GOT WANTED
    [ -n "$3" ] && [ "$2" = "$3" ]
    check "$1" $?
    [ "$2" = "$3" ] || tell "# got $2, wanted $3"
}

check_near() { # NAME GOT WANTED TOLERANCE
    local difference=$(($2 - $3))
    [ -n "$2" ] && [ -n "$3" ] && [ "${difference#-}" -le "$4" ]
    check "$1" $?
    tell "# got $2, wanted $3, difference $difference"
}

mount_all() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    if [ "$cgroups" = 1 ]; then
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mkdir /sys/fs/cgroup/memory
        mount -t cgroup -o memory memory /sys/fs/cgroup/memory
        memory=/sys/fs/cgroup/memory charge=memory.usage_in_bytes
    else
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        echo +memory >/sys/fs/cgroup/cgroup.subtree_control
        memory=/sys/fs/cgroup charge=memory.current
    fi
}

# It would make huge pages of ranges with holes while they are measured; what programs get when they touch memory
# (THP "always", Debian's default) is left as it is.
tame_khugepaged() {
    echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none
}

kernel_says() { # FILE FIELD: bytes
    awk -v field="$2:" '$1 == field {printf "%.0f\n", $2 * 1024}' "/proc/$pid/$1"
}

# The JSON is indented by two spaces a level, so that top-level members are known by their column.
residue_says() { # MEMBER
    sed -n "s/^  \"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" /why.json
}

within_object() { # OBJECT MEMBER
    sed -n "/^  \"$1\": {/,/^  }/s/^    \"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" /why.json
}

row_says() { # MEMBER: of the victim's row in a survey
    awk -v id="\"pid\": $pid," -v key="\"$1\":" '/^      "pid": / {found = $0 ~ id "$"}
        found && index($0, "      " key) == 1 {sub(",$", "", $2); print $2; exit}' /why.json
}

ledger_sum() {
    sed -n '/^  "ledger": {/,/^  }/p' /why.json | awk -F': ' '/^    "/ {sum += $2} END {printf "%.0f\n", sum}'
}

command_victim() { # COMMAND: sets `answer`
    echo "$1" >&3
    answer=
    read -r -t 120 answer <&4
}

start_victim() {
    mkdir "$memory/$heap"
    rm -f /to /from
    mkfifo /to /from
    sh -c "echo \$\$ >$memory/$heap/cgroup.procs; exec /heap-victim $heap" </to >/from &
    pid=$!
    exec 3>/to 4</from
    read -r -t 240 answer <&4
    while [ "${answer%% *}" = REGION ]; do
        read -r -t 240 answer <&4
    done
    set -- $answer
    [ "$1" = READY ] && [ "$2" = "$pid" ]
}

end_victim() {
    exec 3>&- 4<&-
    wait "$pid"
}

look() {
    local before estimate huge told
    before=$(kernel_says smaps_rollup Rss)
    estimate=$(kernel_says status VmRSS)
    huge=$(kernel_says smaps_rollup AnonHugePages)
    tell "# status is off by $((estimate - before)) bytes, $huge are in huge pages"
    residue why --json "$pid" >/why.json 2>/why.err
    check_equal "residue why succeeds" $? 0
    sed 's/^/TAP # /' /why.err
    check_equal "rss_bytes is what smaps_rollup says" "$(residue_says rss_bytes)" "$before"
    check_equal "the ledger's sum is rss_bytes" "$(ledger_sum)" "$(residue_says rss_bytes)"
    check_equal "smaps_rollup was found to be what is exact here" "$(residue_says rss_source)" smaps_rollup
    check_equal "glibc's heap is decoded" "$(within_object allocator decoded)" true
    check_equal "the resident set is as before" "$(kernel_says smaps_rollup Rss)" "$before"
    # Which pages they are is not known without PAGEMAP_SCAN, and that has to be told.
    told=$(grep -c '"what": "huge pages"' /why.json)
    check_equal "huge pages are told as unknown where there are any" "$told" "$((huge > 0))"
    check_equal "the cgroup's version is told" "$(within_object cgroup version)" "$cgroups"
    check_near "the cgroup's charge is told" "$(within_object cgroup charge_bytes)" \
        "$(cat "$memory/$heap/$charge")" "$STOCK"
}

survey() {
    local rss anonymous
    rss=$(kernel_says smaps_rollup Rss)
    anonymous=$(kernel_says smaps_rollup Anonymous)
    residue why --json --cgroup="$memory/$heap" >/why.json 2>/why.err
    check_equal "residue why --cgroup succeeds" $? 0
    sed 's/^/TAP # /' /why.err
    check_equal "all processes of the cgroup are told" "$(grep -c '^      "pid": ' /why.json)" \
        "$(sort -u "$memory/$heap/cgroup.procs" | wc -l)"
    check_equal "its rss_bytes is what smaps_rollup says" "$(row_says rss_bytes)" "$rss"
    check_equal "so is its anonymous memory" "$(row_says anon_bytes)" "$anonymous"
    check_near "the cgroup's charge is told for all" "$(within_object cgroup charge_bytes)" \
        "$(cat "$memory/$heap/$charge")" "$STOCK"
}

trim() {
    local before after predicted
    predicted=$(residue_says trim_would_return_bytes)
    before=$(kernel_says smaps_rollup Rss)
    command_victim trim
    after=$(kernel_says smaps_rollup Rss)
    [ "$before" -gt "$after" ]
    check "malloc_trim returns something" $?
    check_near "malloc_trim returns what was predicted" "$predicted" "$((before - after))" "$PAGE"
    command_victim check
    check_equal "the heap's content is whole" "$answer" OK
}

progress() { od -A n -t u4 -j 8 -N 4 /shared; } # struct shared of chaos.h

# Calls are made, and whoever has them made is killed at some of the points at which it acts.
chaos() { # ROLE
    local heap=$1 victim killed=0 at waited=0 before
    rm -f /shared
    dd if=/dev/zero of=/shared bs=4096 count=1 2>/dev/null
    /chaos-victim "$heap" /shared &
    victim=$!
    usleep 500000
    for at in 1 2 3; do # a thread in user space is not borrowed here, which is no error
        /inject-calls $victim 10 guarded >/injected 2>/injected.err && break
    done
    read -r rounds made refused rest </injected
    sed 's/^/TAP # /' /injected.err
    [ "${made:-0}" -gt 0 ]
    check "calls are made: $made of $rounds" $?
    for at in 1 2 3 4 5 6 7 8 9 10 12 14 17 20 30 40 60 80 95 100; do
        RESIDUE_TEST_DIE_AT=$at /inject-calls $victim 1 guarded >/dev/null 2>&1
        [ $? -ne 137 ] || killed=$((killed + 1))
    done
    before=$(progress)
    while [ "$(progress)" = "$before" ] && [ $waited -lt 300 ]; do
        usleep 100000
        waited=$((waited + 1))
    done
    [ $waited -lt 300 ] && [ $killed -gt 0 ]
    check "it goes on, whoever was killed $killed times" $?
    printf '\001' | dd of=/shared bs=1 seek=4 conv=notrunc 2>/dev/null
    wait $victim
    check_equal "it ends with nothing wrong" "$?$(dd if=/shared bs=1 skip=24 count=200 2>/dev/null | tr -d '\000')" 0
}

/bin/busybox --install -s /bin
export PATH=/bin
mount_all
tame_khugepaged
tell "1..$(($(echo $heaps $mappings | wc -w) * (surveys + looks) + $(echo $heaps | wc -w) * trims + $(echo $roles | wc -w) * chaos))"
tell "# $(uname -r), $(grep -c ^processor /proc/cpuinfo) CPUs"
for heap in $heaps $mappings; do
    if start_victim; then
        survey
        look
        case " $heaps " in *" $heap "*) trim ;; esac
    else
        check "the victim starts: $answer" 1
    fi
    end_victim
done
for role in $roles; do
    chaos "$role"
done
tell end
poweroff -f
