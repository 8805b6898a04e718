# What the other files of tools/ share. Sourced by ./dev, which sets $root.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "dev: $*"
    exit 1
}

cores() {
    nproc 2>/dev/null || echo 2
}

# A word as a shell reads it back, for commands that are printed to be pasted.
quoted() {
    case $1 in
    *[!A-Za-z0-9_./:=@%+,-]* | '') printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}
