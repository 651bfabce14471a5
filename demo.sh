#!/usr/bin/env bash
# Builds the tools, installing what that takes, and shows them on a real backup chain: a full dump and three increments.
# Then a collection is lost, and an update goes wrong; both are taken back, and the chain is restored: on a server of its own
# where one can be had (mongod on PATH, in $MONGOD or in build/venv, and pymongo), else on a chain from one.
# shellcheck disable=SC2016 # $-words are MongoDB's
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
source cmake/setup.sh

need_packages "${build_packages[@]}"
build release tools

PATH=$PWD/build/release/tools:$PATH
live=$PWD/tests/live drop=$PWD/tests/data/drop venv=$PWD/build/venv
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

# The interpreter with which two servers can be started.
find_python() {
    for python in "${OPLOG_PYTHON:-}" "$venv/bin/python" python3; do
        if [[ $python ]] && "$python" "$live/prompt.py" --check 2>/dev/null; then return; fi
    done
    return 1
}

# Where mongodump and mongorestore are.
find_mongo_tools() {
    local name found
    found=$(PATH=${MONGO_TOOLS_BIN:+$MONGO_TOOLS_BIN:}$PATH && command -v mongodump) && mongo_home=$(dirname "$found")
    [[ ! $found || ! -x $mongo_home/mongorestore ]] || return 0
    echo "No mongodump and mongorestore here: stand-ins take their place, which prove nothing about the real ones."
    mongo_home=$PWD/standin
    mkdir "$mongo_home"
    for name in mongodump mongorestore; do
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$python" "$live/standin/$name" >"$mongo_home/$name"
        chmod +x "$mongo_home/$name"
    done
    options=(--force) # these cannot tell whether the target is empty
}

# Starts the servers; they end when this script does, however it does.
start_servers() {
    coproc servers { exec "$python" "$live/prompt.py" 2>servers.log; }
    # shellcheck disable=SC2154 # coproc sets it
    to=${servers[1]} from=${servers[0]} pid=$servers_PID
    trap 'code=$?; exec {to}>&-; wait "$pid" || true; exit "$code"' EXIT
    if ! read -r -t 45 source_port target_port <&"$from"; then
        cat servers.log >&2
        return 1
    fi
}
ask() { # EXPRESSION
    printf '> %s\n' "$1"
    echo "$1" >&"$to"
    read -r -t 30 answer <&"$from" || { cat servers.log >&2 && return 1; }
}
ask_and_show() { ask "$1" && echo "$answer"; }
# A command whose tools say much on stderr; that is shown if it fails.
run_quietly() {
    local begin=$EPOCHREALTIME
    if ! run "$1" 2>said.log; then
        cat said.log >&2
        return 1
    fi
    echo "($(((${EPOCHREALTIME/./} - ${begin/./}) / 1000)) ms)"
}

on_servers() {
    explain "A real server (port $source_port) and an empty one to restore to (port $target_port). What the whole system needs to know:"
    cat >config.ini <<INI
[default]
db_host = 127.0.0.1
db_port = $source_port
time_interval = 3
mongo_home = $mongo_home
dbbak_dir = $PWD/dbbak
lang = en
INI
    run "cat config.ini"

    explain "A thousand orders, and the full backup that begins a chain."
    ask 'len(source.orders.insert_many([{"_id": n, "state": "new"} for n in range(1000)]).inserted_ids)'
    run_quietly "oplog-backup -c config.ini full"

    explain "Life goes on; increments hold what was written since."
    ask 'len([source.orders.update_one({"_id": n}, {"$set": {"state": "paid"}}) for n in range(1000)])'
    run_quietly "oplog-backup -c config.ini inc"
    ask 'len([source.orders.update_one({"_id": n}, {"$set": {"state": "sent"}}) for n in range(700)])'

    explain "And then somebody drops the collection. The next increment has that too."
    ask 'source.orders.drop()'
    ask_and_show 'source.orders.count_documents({})'
    run_quietly "oplog-backup -c config.ini inc"
    run "oplog-backup -c config.ini status"

    explain "What happened there, and when: oplog-stats counts, oplog-cat finds the entry."
    run "oplog-merge --chain dbbak/*/inc/* | oplog-stats --top 2"
    run "oplog-cat --relaxed --op c --ns shop.orders dbbak/*/inc/* | tee found.json"
    moment=$(sed -n '/"drop"/s/.*"ts":{"$timestamp":{"t":\([0-9]*\),"i":\([0-9]*\)}}.*/\1:\2/p' found.json)

    explain "Taken back on the server itself: the collection comes back as it was just before the drop, and nothing else is touched."
    run "oplog-undo --full dbbak/*/full dbbak/*/inc/* --from $moment --to $moment --ns shop.orders -o undo_drop 2>&1"
    run_quietly "$mongo_home/mongorestore --host 127.0.0.1 --port $source_port --bypassDocumentValidation undo_drop/dropped"
    ask_and_show '{s: source.orders.count_documents({"state": s}) for s in ("sent", "paid")}'
    [[ $answer == "{'sent': 700, 'paid': 300}" ]]

    explain "Another accident: an update without its filter. The next increment has that too; what became of one order?"
    ask 'source.orders.update_many({}, {"$set": {"state": "lost"}}).modified_count'
    run_quietly "oplog-backup -c config.ini inc"
    run "oplog-history --full dbbak/*/full dbbak/*/inc/* --ns shop.orders --id 41 --relaxed | tee found.json | cut -c 1-160"
    lost=$(sed -n '/"after":"lost"/s/^{"ts":{"$timestamp":{"t":\([0-9]*\),.*/\1/p' found.json)

    explain "That alone is taken back: the operations since then that made an order lost. mongosh would run undo.js, which looks at each document first; mongorestore replays."
    run "oplog-undo --full dbbak/*/full dbbak/*/inc/* --from $((lost - 1)) --to $((lost + 60)) --ns shop.orders --op u --where 'state=\"lost\"' -o undo_update 2>&1"
    run_quietly "$mongo_home/mongorestore --host 127.0.0.1 --port $source_port --oplogReplay undo_update/replay"
    ask_and_show '{s: source.orders.count_documents({"state": s}) for s in ("sent", "paid", "lost")}'
    [[ $answer == "{'sent': 700, 'paid': 300, 'lost': 0}" ]]

    explain "Restored to just before the drop, on the other server: oplog-apply makes the dump of that moment, mongorestore loads it."
    run_quietly "oplog-restore -c config.ini --target 127.0.0.1:$target_port --before $moment${options[*]:+ ${options[*]}}"
    explain "The orders are back, as they were then: 700 sent, 300 paid."
    ask_and_show 'target.orders.count_documents({})'
    ask_and_show '{s: target.orders.count_documents({"state": s}) for s in ("sent", "paid")}'
    [[ $answer == "{'sent': 700, 'paid': 300}" ]]

    explain "The other method, an entry at a time as mongorestore --oplogReplay does it: the same, more slowly."
    ask 'target.client.drop_database("shop")'
    run_quietly "oplog-restore -c config.ini --target 127.0.0.1:$target_port --before $moment --method replay${options[*]:+ ${options[*]}}"
    ask_and_show '{s: target.orders.count_documents({"state": s}) for s in ("sent", "paid")}'
    [[ $answer == "{'sent': 700, 'paid': 300}" ]]

    explain "A new full backup of the old chain, without asking the server; the next increment continues it."
    run_quietly "oplog-backup -c config.ini synthesize"
    run_quietly "oplog-backup -c config.ini inc"
    run "oplog-backup -c config.ini verify"
}

on_files() {
    cp -r "$drop" lost && cd lost
    explain "No server to be had, so a chain from one: somebody dropped shop.a. To which times can it be restored?"
    run "oplog-verify --full full inc1 inc2 inc3"
    explain "What happened there, and when: oplog-stats counts, oplog-cat finds the entry."
    run "oplog-merge --chain inc1 inc2 inc3 | oplog-stats --top 3"
    run "oplog-cat --relaxed --op c --ns shop.a inc1 inc2 inc3"
    explain "The state just before it, for mongorestore to replay …"
    run "oplog-stage --full full inc1 inc2 inc3 --before 1795352341:630 -o staged"
    explain "… and as a dump, which loads many times faster. The lost documents are in it:"
    run "oplog-apply --full full inc1 inc2 inc3 --before 1795352341:630 -o applied"
    run "ls -l applied/shop"
    explain "Or only the accident, taken back: what the drop took, for mongorestore, beside what has been made since."
    run "oplog-undo --full full inc1 inc2 inc3 --from 1795352341:630 --to 1795352341:630 --rename shop.a=shop.a_before -o undone"
    run "ls undone undone/dropped/shop"
    cd ..
}

options=() mongo_home=''
if find_python && find_mongo_tools && start_servers; then on_servers; else on_files; fi

printf '\nThe tools are in build/release/tools, what they made just now is in build/demo. Next: TOOL --help.\n'
