#!/bin/sh
# The layers hold: a folder of src/ includes only what the table below lets it,
# every include of ours resolves, and each foreign library has one home.
# usage: layers.sh [root]
set -eu
root=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
cd "$root"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
find src -name '*.[ch]' -o -name '*.def' >"$list" 2>/dev/null || true
[ -s "$list" ] || {
    echo "layers: there is no source file in $root/src"
    exit 1
}

# A header that a build makes counts as there.
generated='store/migrations.h'

tr '\n' '\0' <"$list" | xargs -0 awk -v generated="$generated" '
BEGIN {
    may["base"] = "base"
    may["codec"] = may["base"] " codec"
    may["model"] = may["codec"] " model"
    may["ports"] = may["model"] " ports"
    may["auth"] = may["ports"] " auth"
    may["dialect"] = may["ports"] " dialect"
    may["store"] = may["ports"] " store"
    may["hub"] = may["dialect"] " hub"
    may["net"] = may["hub"] " auth net"
    may["admin"] = may["net"] " admin"
    may["cmd"] = may["admin"] " store cmd"
    home["sqlite3.h"] = "store"
    home["h2o.h"] = home["h2o"] = home["wslay"] = home["curl"] = "net"
    home["yaml.h"] = "cmd"
}
function wrong(what) {
    printf "%s:%d: %s\n", FILENAME, FNR, what
    bad = 1
}
function exists(path,   line, there) {
    there = (getline line < path) >= 0
    close(path)
    return there
}
function ours(path,   folder) {
    folder = path
    if (!sub("/.*", "", folder))
        wrong("\"" path "\" is not rooted at src")
    else if (index(" " may[layer] " ", " " folder " ") == 0)
        wrong(layer "/ may not include " path)
    else if (path != generated && !exists("src/" path))
        wrong(path " does not exist")
}
function foreign(path,   library) {
    library = path
    sub("/.*", "", library)
    if (library in home && home[library] != layer)
        wrong("<" path "> belongs to " home[library] "/ alone")
}
{
    split(FILENAME, part, "/")
    layer = part[2]
    if (FNR == 1 && !(layer in may))
        wrong("src/" layer " is no layer")
}
/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, quote, "\""); ours(quote[2]) }
/^[ \t]*#[ \t]*include[ \t]*</ { split($0, quote, /[<>]/); foreign(quote[2]) }
END { exit bad }
'
