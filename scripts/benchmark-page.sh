#!/bin/sh
# Writes benchmarks/README.md from the tables that the benchmarks left in benchmarks/results.
set -eu
cd "$(dirname "$0")/.."
{
    cat <<'PAGE'
# Benchmarks

Each table comes from a script here, with its peers measured in the same run; `make bench` runs them all, `python -m benchmarks NAME` one.
Peers are installed from PyPI into environments of their own under `.benchmarks/`. Ratios carry over to other machines, seconds do not.

PAGE
    for table in benchmarks/results/*.md; do
        cat "$table"
        echo
    done
} > benchmarks/README.md
