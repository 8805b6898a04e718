#!/bin/sh
# Migrations are numbered from 0001 without a gap. usage: migrations.sh [root]
set -eu
root=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
cd "$root"

next=1
for file in migrations/*; do
    expected=$(printf 'migrations/%04d_' "$next")
    case $file in
    "$expected"?*.sql) next=$((next + 1)) ;;
    *)
        echo "migrations: $file stands where $expected*.sql should"
        exit 1
        ;;
    esac
done
