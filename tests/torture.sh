#!/usr/bin/env bash
# The long form of tests/torture.py, for as long as it takes (hours): builds the tools, runs every case, and prints a table of
# fault class, cases and failures. Arguments go to torture.py: --short, --only CLASS.
set -euo pipefail
cd "$(dirname "$0")/.."
source cmake/setup.sh
build release
export OPLOG_BIN=$PWD/build/release/tools OPLOG_SOURCE=$PWD OPLOG_FAULTS=$PWD/build/release/tests/liboplog_faults.so
exec python3 tests/torture.py "$@"
