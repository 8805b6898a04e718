# ./dev bench: the benches, on a release build. Sourced by ./dev.

dev_bench() {
    need_build
    want_peers
    build build-bench "" -DCMAKE_BUILD_TYPE=Release -DDM_BENCH=ON
    exec "$root/bench/run" "$root/build-bench" "$@"
}
