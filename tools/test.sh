# ./dev test and ./dev test-full: the stages one after the other, and one line
# at the end that adds them up. A stage that cannot run counts as failed.
# Sourced by ./dev.

. "$root/tools/fuzz.sh"

passed=0
failed=0
skipped=0

# count <passed> <failed> [skipped]
count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + ${3:-0}))
}

stage() {
    say
    say "== $*"
}

# try <name> <command...>: one test that is a command; its output is shown if it fails.
try() {
    name=$1
    shift
    if "$@" >"$out" 2>&1; then
        say "ok   $name"
        count 1 0
    else
        cat "$out" >&2
        say "FAIL $name"
        count 0 1
    fi
}

# Builds a folder, or counts one failure and says no.
built() {
    "$@" && return 0
    say "FAIL the build"
    count 0 1
    return 1
}

# ctest_stage <folder> <ctest option...>
ctest_stage() {
    folder=$1
    shift
    ctest --test-dir "$root/$folder" -j "$(cores)" --output-on-failure --timeout 900 \
        --no-tests=error "$@" >"$out" 2>&1 && code=0 || code=$?
    summary=$(sed -n 's/.* \([0-9][0-9]*\) tests* failed out of \([0-9][0-9]*\)$/\1 \2/p' "$out")
    if [ -z "$summary" ]; then
        cat "$out" >&2
        say "FAIL ctest did not run"
        count 0 1
        return 0
    fi
    bad=${summary% *}
    all=${summary#* }
    [ "$code" -eq 0 ] || cat "$out" >&2
    [ "$code" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    say "$((all - bad)) of $all passed"
    count $((all - bad)) "$bad"
}

gates_stage() {
    stage gates
    for gate in "$root"/tests/gates/*.sh; do
        name=$(basename "$gate" .sh)
        case $name in
        format) format_gate ;;
        *) try "$name" sh "$gate" ;;
        esac
    done
}

# Another clang-format formats otherwise: the gate means nothing with it.
format_gate() {
    if CLANG_FORMAT=$(find_clang_format); then
        export CLANG_FORMAT
        try format sh "$root/tests/gates/format.sh"
    else
        say "skip format: no clang-format 14"
        count 0 0 1
    fi
}

find_clang_format() {
    for tool in clang-format-14 clang-format; do
        if "$tool" --version 2>/dev/null | grep -q 'version 14\.'; then
            echo "$tool"
            return 0
        fi
    done
    return 1
}

# sim_stage <folder> <rounds>
sim_stage() {
    stage "sim ($1): $2 of $sim_full seeds on 1, 2 and 5 shards"
    DM_SIM_RUNS=$2 ctest_stage "$1" -R '^sim'
}

fuzz_stage() {
    stage "fuzz: the corpus, then $1 of $fuzz_full seconds each"
    if [ -z "$(fuzz_drivers)" ]; then
        say "FAIL there is no fuzz driver"
        count 0 1
        return 0
    fi
    built build_fuzz || return 0
    for driver in $(fuzz_drivers); do
        try "$driver" fuzz_one "$driver" "$1"
    done
}

# e2e_stage <folder> <rounds>
e2e_stage() {
    stage "e2e ($1): $2 of $crash_full crashes"
    DM_CRASH_ROUNDS=$2 DORMOUSE_BIN=$root/$1/dormouse node "$root/tests/e2e/run.mjs" 2>&1 | tee "$out" >&2
    summary=$(sed -n 's/^e2e: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$out")
    # shellcheck disable=SC2086 # three numbers
    count ${summary:-0 1 0}
}

# checked_stages <folder> <sim rounds> <crash rounds> <disk runs> <cmake option...>: what needs one
# build of everything
checked_stages() {
    folder=$1
    rounds=$2
    crashes=$3
    disks=$4
    shift 4
    stage "unit ($folder): $disks of $disk_full runs on a failing disk"
    built build "$folder" "" -DDM_TESTS=ON "$@" || return 0
    DM_DISK_RUNS=$disks ctest_stage "$folder" -E '^sim'
    sim_stage "$folder" "$rounds"
    e2e_stage "$folder" "$crashes"
}

prepare() {
    sim_full=10000
    crash_full=100
    disk_full=20
    fuzz_full=30
    need_build
    need_tests
    out=$(mktemp)
    trap 'rm -f "$out"' EXIT
    trap 'exit 130' INT TERM
}

finish() {
    line="$passed passed, $failed failed"
    [ "$skipped" -eq 0 ] || line="$line, $skipped skipped"
    say
    printf '%s\n' "$line"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

dev_test() {
    prepare
    gates_stage
    checked_stages build-asan 1000 15 1 -DCMAKE_BUILD_TYPE=Debug -DDM_SANITIZE=address,undefined
    fuzz_stage 3
    finish
}

dev_test_full() {
    prepare
    gates_stage
    stage "builds without warnings"
    try gcc build build-gcc "" -DCMAKE_BUILD_TYPE=Release -DDM_TESTS=ON -DCMAKE_C_COMPILER=gcc
    try clang build build-clang "" -DCMAKE_BUILD_TYPE=Release -DDM_TESTS=ON -DCMAKE_C_COMPILER=clang
    checked_stages build-asan "$sim_full" "$crash_full" "$disk_full" -DCMAKE_BUILD_TYPE=Debug -DDM_SANITIZE=address,undefined
    # The sim has one thread, and the store's threads do the same in every run on a failing disk:
    # ThreadSanitizer finds little in more of them.
    checked_stages build-tsan 300 "$crash_full" 3 -DCMAKE_BUILD_TYPE=Debug -DDM_SANITIZE=thread
    fuzz_stage "$fuzz_full"
    finish
}
