#!/bin/sh
# What a machine leaves behind stays out of the repository: registry addresses
# in lock files, absolute paths of somebody's folders, private keys.
# usage: hygiene.sh [root]
set -eu
root=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
cd "$root"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
find . \( -name node_modules -o -name .git -o -name 'build*' -type d \
    -o -path ./tests/fuzz/corpus \) -prune -o -type f -print >"$list"
[ -s "$list" ] || {
    echo "hygiene: there is no file in $root"
    exit 1
}

bad=0
# forbid <what it is> <pattern> [file name pattern]
forbid() {
    hits=$(grep "${3:-.}" "$list" | tr '\n' '\0' | xargs -0 -r grep -nIE -e "$2" /dev/null || true)
    [ -n "$hits" ] || return 0
    printf '%s:\n%s\n' "$1" "$hits"
    bad=1
}

# The brackets keep these lines from finding themselves.
forbid 'a registry address in a lock file' '"resolved[\"]|registr[y]\.' 'package-lock\.json$'
forbid 'a registry address' '_authToken[=]|^registr[y] *=' '\.npmrc$'
forbid 'the path of a folder of this machine' '(^|[^A-Za-z0-9_.*?$}~])/(hom[e]/[a-z]|roo[t]/|wor[k]/|Use[r]s/[A-Z])'
forbid 'a private key' '-----BEGIN [A-Z ]*PRIVATE KE[Y]-----' '\.\(c\|h\|sh\|mjs\|js\|ts\|md\|yaml\|json\)$'
exit "$bad"
