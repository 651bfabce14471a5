#!/usr/bin/env bash
# Builds with gcov's counters, runs the tests that need no server, and prints which share of the lines of each header and tool they
# ran; with --missed also the lines that they did not. Arguments after that go to ctest, as in -R unit.
set -euo pipefail
cd "$(dirname "$0")/.."
source cmake/setup.sh
missed=''
if [[ ${1-} == --missed ]]; then missed=yes && shift; fi
need_packages "${build_packages[@]}" zstd
cmake -S . -B build/coverage -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG='-O0 --coverage -fprofile-update=atomic' >/dev/null
cmake --build build/coverage
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -LE 'live|package|torture' "$@" || echo 'Some tests failed; what follows counts what they ran' >&2
find build/coverage -name '*.gcda' -print0 | xargs -0 gcov --json-format --stdout 2>/dev/null | MISSED=$missed python3 tests/coverage.py
