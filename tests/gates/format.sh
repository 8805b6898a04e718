#!/bin/sh
# Every C file is as clang-format 14 would have it. usage: format.sh [root]
# CLANG_FORMAT names the program.
set -eu
root=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
cd "$root"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
find src tests bench -name node_modules -prune -o -name '*.[ch]' -print >"$list" 2>/dev/null || true
[ -s "$list" ] || {
    echo "format: there is no C file in $root"
    exit 1
}
tr '\n' '\0' <"$list" | xargs -0 "${CLANG_FORMAT:-clang-format}" --style=file --dry-run -Werror
