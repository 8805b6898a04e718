#!/bin/sh
# No C file is longer than can be read in one sitting. usage: length.sh [root]
set -eu
root=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
most=600
cd "$root"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
find src tests bench -name node_modules -prune -o -name '*.[ch]' -print >"$list" 2>/dev/null || true
[ -s "$list" ] || {
    echo "length: there is no C file in $root"
    exit 1
}
bad=0
while IFS= read -r file; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt "$most" ]; then
        echo "$file: $lines lines, $most at most"
        bad=1
    fi
done <"$list"
exit "$bad"
