#!/bin/sh
# Each gate sees a planted fault, passes a clean copy, and fails where it finds
# nothing to check.
set -eu
gates=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks=0
bad=0

# A small tree that every gate passes.
fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/base" "$work/tree/src/hub" "$work/tree/src/store" \
        "$work/tree/src/auth" "$work/tree/src/net" "$work/tree/migrations"
    cd "$work/tree"
    cp "$gates/../../.clang-format" .
    printf 'int dm_one(void);\n' >src/base/one.h
    printf '#include "base/one.h"\n\nint dm_one(void)\n{\n    return 1;\n}\n' >src/base/one.c
    printf '#include "base/one.h"\n' >src/hub/hub.h
    printf '#include <sqlite3.h>\n\n#include "base/one.h"\n' >src/store/store.h
    printf '#include "base/one.h"\n' >src/auth/auth.h
    printf '#include <h2o.h>\n\n#include "hub/hub.h"\n' >src/net/net.h
    printf '{ "lockfileVersion": 3 }\n' >package-lock.json
    : >migrations/0001_first.sql
    : >migrations/0002_second.sql
}

# verdict <gate>: what it says of the tree, by its exit code.
verdict() {
    if sh "$gates/$1.sh" "$work/tree" >"$work/out" 2>&1; then
        echo passes
    else
        echo fails
    fi
}

expect() {
    checks=$((checks + 1))
    got=$(verdict "$2")
    if [ "$got" != "$1" ]; then
        bad=$((bad + 1))
        echo "selftest: $2 $got, and should not: $3"
        cat "$work/out"
    fi
}

# plant <gate> <what> <file> <text>: appended to a clean tree, the gate must fail.
plant() {
    fresh
    mkdir -p "$(dirname "$3")"
    printf '%b' "$4" >>"$3"
    expect fails "$1" "$2"
}

format=
if [ -n "${CLANG_FORMAT:-}" ] || clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    format=format
fi

for gate in layers length migrations hygiene $format; do
    fresh
    expect passes "$gate" "a clean tree"
    rm -rf "$work/tree"
    mkdir -p "$work/tree"
    cd "$work/tree"
    expect fails "$gate" "an empty tree"
done

plant layers "base includes the hub" src/base/one.c '#include "hub/hub.h"\n'
plant layers "auth includes the store" src/auth/auth.h '#include "store/store.h"\n'
plant layers "the hub includes the store" src/hub/hub.h '#  include "store/store.h"\n'
plant layers "sqlite3.h in the hub" src/hub/hub.h '#include <sqlite3.h>\n'
plant layers "h2o in the hub" src/hub/hub.h '#include <h2o/socket.h>\n'
plant layers "wslay in base" src/base/one.h '#include <wslay/wslay.h>\n'
plant layers "curl in the hub" src/hub/hub.h '#include <curl/curl.h>\n'
plant layers "an include that is not there" src/hub/hub.h '#include "base/two.h"\n'
plant layers "an include that is not rooted" src/hub/hub.h '#include "one.h"\n'
plant layers "a folder that is no layer" src/misc/misc.c '#include "base/one.h"\n'
plant length "a long file" src/base/long.c "$(yes '\n' | head -n 601 | tr -d '\012')"
plant migrations "a gap" migrations/0004_fourth.sql ''
plant migrations "a number twice" migrations/0002_again.sql ''
plant migrations "a file without number" migrations/notes.txt ''
plant hygiene "a resolved address" package-lock.json '{ "resolved": "https://example.org/a" }\n'
plant hygiene "a registry" package-lock.json '{ "x": "https://registry.example.org" }\n'
plant hygiene "somebody's folder" src/base/one.h '/* see /hom''e/somebody/notes */\n'
[ -z "$format" ] || plant format "bad indentation" src/base/one.c 'int  dm_two( void ){return 2;}\n'

echo "selftest: $checks checks, $bad wrong"
[ "$bad" -eq 0 ]
