# Configures and builds one folder. Sourced by ./dev.

# build <folder> <targets, or "" for all> [cmake option...]
build() (
    folder=$root/$1
    targets=$2
    shift 2
    log=$folder/build.log
    mkdir -p "$folder"
    [ -e "$folder/CMakeCache.txt" ] || set -- -G Ninja "$@"
    say "building $(basename "$folder")"
    # shellcheck disable=SC2086 # targets is a list of words
    if ! cmake -S "$root" -B "$folder" "$@" >"$log" 2>&1 ||
        ! cmake --build "$folder" -j "$(cores)" ${targets:+--target $targets} >>"$log" 2>&1; then
        tail -n 60 "$log" >&2
        return 1
    fi
)

build_release() {
    build build dormouse -DCMAKE_BUILD_TYPE=Release
}

# Drivers for libFuzzer; the names of those that there are.
fuzz_drivers() {
    for source in "$root"/tests/fuzz/fuzz_*.c; do
        [ ! -e "$source" ] || basename "$source" .c
    done
}

build_fuzz() {
    build build-fuzz "$(fuzz_drivers | tr '\n' ' ')" -DCMAKE_BUILD_TYPE=Debug -DDM_FUZZ=ON \
        -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS_DEBUG='-O1 -g' \
        -DDM_SANITIZE='address,undefined,fuzzer-no-link'
}
