#!/usr/bin/env bash
# Builds the tools, installing what that takes, and shows them on a real backup chain: a full dump and three increments.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
source cmake/setup.sh

need_packages "${build_packages[@]}"
build release tools

PATH=$PWD/build/release/tools:$PATH
rm -rf build/demo
cp -r tests/data/crud build/demo
cd build/demo

explain() { printf '\n# %s\n' "$1"; }
run() {
    printf '$ %s\n' "$1"
    eval "$1"
}
run_refused() {
    local code=0
    run "$1" 2>&1 || code=$?
    echo "(exit code $code)"
    ((code == 1))
}

explain "A chain: a full dump and three increments. FIRST LAST ENTRIES BYTES FILE: each begins with the entry that the one before ends with."
run "oplog-range full inc1 inc2 inc3"

explain "The query that fetches the next increment: mongodump -d local -c oplog.rs --query …"
run "oplog-range --query inc3"

explain "The entries of a stretch of time, bytes untouched, and what they span."
run "oplog-slice --after 1795352339:53 --to 1795352339:150 inc2 -o slice.bson"
run "oplog-range slice.bson"

explain "The same stretch in pieces of 40 entries; their names sort in time order."
run "oplog-split --entries 40 -o pieces slice.bson"

explain "The whole chain as one compressed oplog, proved: the slices share their edges and agree byte for byte."
run "oplog-merge --chain full inc1 inc2 inc3 -o chain.bson.zst"
run "oplog-range --long chain.bson.zst"

explain "With an increment missing there is a gap, and both its edges are named."
run_refused "oplog-merge --chain full inc1 inc3 -o gap.bson"

explain "What was deleted at the end, as JSON lines."
run "oplog-cat --relaxed --op d --from 1795352339:300 chain.bson.zst"

explain "The proof: pieces merged, in whatever order, are the slice again, byte for byte."
run "oplog-merge \$(ls -r pieces/*) | cmp - slice.bson && echo identical"

printf '\nThe tools are in build/release/tools, what they made just now is in build/demo. Next: TOOL --help.\n'
