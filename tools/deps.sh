# Installs by apt what is missing, and only that: a package is asked for where
# the command or the header that it brings is not there. (A machine may have a
# newer Node, whose packages conflict with Debian's npm.)

missing=

has_header() {
    for folder in /usr/local/include /usr/include /usr/include/*-linux-gnu; do
        [ ! -e "$folder/$1" ] || return 0
    done
    return 1
}

# want_tool <package> <command...>: one of the commands is enough.
want_tool() {
    package=$1
    shift
    for tool in "$@"; do
        ! command -v "$tool" >/dev/null 2>&1 || return 0
    done
    missing="$missing $package"
}

want_header() {
    has_header "$2" || missing="$missing $1"
}

install_missing() {
    [ -n "$missing" ] || return 0
    say "installing by apt:$missing"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            die "these Debian packages are missing, and there is no sudo to install them:$missing"
        as_root=sudo
    fi
    command -v apt-get >/dev/null 2>&1 || die "there is no apt-get; please install:$missing"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends $missing >/dev/null
    missing=
}

# What it takes to build the server, and nothing more.
need_build() {
    want_tool gcc gcc
    want_header libc6-dev stdio.h
    want_tool cmake cmake
    want_tool ninja-build ninja
    want_tool pkg-config pkg-config
    want_header libh2o-evloop-dev h2o.h
    want_header libwslay-dev wslay/wslay.h
    want_header libssl-dev openssl/ssl.h
    want_header libsqlite3-dev sqlite3.h
    want_header libyaml-dev yaml.h
    want_header libcurl4-openssl-dev curl/curl.h
    want_tool curl curl
    install_missing
}

need_clang() {
    want_tool clang clang
    install_missing
    runtime=$(clang -print-resource-dir)/lib/linux/libclang_rt.fuzzer-$(uname -m).a
    if [ ! -e "$runtime" ]; then
        missing=libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev
        install_missing
    fi
}

need_node() {
    want_tool nodejs node
    want_tool npm npm
    install_missing
    major=$(node -p 'process.versions.node.split(".")[0]')
    [ "$major" -ge 18 ] || die "node is version $major; the tests need 18 or later"
    for lock in "$root"/tests/*/package-lock.json; do
        npm_install "$(dirname "$lock")"
    done
}

# The servers that `channel` is measured beside: those that are there. nginx is
# left to who wants it, as its package starts a server.
want_peers() {
    if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
        npm_install "$root/bench/peers"
    fi
}

# npm ci, where the installed packages are not those of the lock file.
npm_install() {
    stamp=$1/node_modules/.lock-installed
    cmp -s "$1/package-lock.json" "$stamp" && return 0
    say "installing by npm what ${1#"$root/"} needs"
    (cd "$1" && npm ci --silent --no-audit --no-fund) || die "npm ci failed in $1"
    cp "$1/package-lock.json" "$stamp"
}

need_tests() {
    want_header libcmocka-dev cmocka.h
    want_tool clang-format clang-format-14 clang-format
    want_tool sqlite3 sqlite3
    need_build
    need_clang
    need_node
}
