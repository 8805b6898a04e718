# Runs libFuzzer drivers: the committed corpus first, then new input for some
# seconds. Sourced by ./dev.

# fuzz_one <driver> <seconds>
fuzz_one() (
    corpus=$root/tests/fuzz/corpus/${1#fuzz_}
    found=$root/build-fuzz/corpus/$1
    mkdir -p "$found"
    [ -d "$corpus" ] || corpus=$found
    driver=$(find "$root/build-fuzz" -type f -name "$1" -perm -u+x | head -n 1)
    [ -n "$driver" ] || {
        say "no driver $1 was built"
        return 1
    }
    cd "$root/build-fuzz" || return 1
    "$driver" -runs=0 "$corpus" &&
        "$driver" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 "$found" "$corpus"
)

dev_fuzz() {
    need_build
    need_clang
    build_fuzz
    chosen=
    [ $# -eq 0 ] || chosen=fuzz_${1#fuzz_}
    for driver in ${chosen:-$(fuzz_drivers)}; do
        fuzz_one "$driver" "${2:-60}"
    done
}
