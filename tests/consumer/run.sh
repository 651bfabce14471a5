#!/bin/sh
# Installs into a temporary prefix and builds both consumers against it, in each of the ways that a user may:
# find_package, add_subdirectory, pkg-config. run.sh CMAKE BUILD_DIR CXX
set -eu
cmake=$1 build=$2 cxx=$3
here=$OPLOG_SOURCE/tests/consumer
crud=$OPLOG_SOURCE/tests/data/crud
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
prefix=$temp/prefix

fail() { echo "$*" >&2; exit 1; }
logged() { "$@" >"$temp/log" 2>&1 || { cat "$temp/log" >&2; fail "failed: $*"; }; }

# What each consumer must do with real increments.
check_core() {
    rm -f "$temp/joined.bson"
    "$1" "$temp/joined.bson" "$crud"/inc3/local/oplog.rs.bson "$crud"/inc1/local/oplog.rs.bson "$crud"/inc2/local/oplog.rs.bson >"$temp/range"
    "$prefix/bin/oplog-merge" --chain "$crud"/inc1 "$crud"/inc2 "$crud"/inc3 | cmp - "$temp/joined.bson"
    "$prefix/bin/oplog-range" "$temp/joined.bson" | cut -d' ' -f1-3 | cmp - "$temp/range"
}
check_full() {
    rm -f "$temp/oplog.bson.zst"
    "$1" "$temp/oplog.bson.zst" "$crud/inc1/local/oplog.rs.bson" | cmp - "$crud/golden/inc1-local-oplog.rs.bson.json"
}
with_cmake() { # NAME CONSUMER CMAKE-ARGUMENT...
    name=$1 consumer=$2
    shift 2
    logged "$cmake" -S "$here/$consumer" -B "$temp/$name" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" "$@"
    logged "$cmake" --build "$temp/$name"
    "check_$consumer" "$temp/$name/consumer"
    echo "ok: $name"
}

logged "$cmake" --install "$build" --prefix "$prefix"
for file in bin/oplog-range include/oplog/oplog.hpp share/doc/oplog/LICENSE share/doc/oplog/README.md; do
    [ -e "$prefix/$file" ] || fail "not installed: $file"
done
"$prefix/bin/oplog-range" --version

# oplog::core must be had where none of the other packages is.
none="-DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON
      -DCMAKE_DISABLE_FIND_PACKAGE_bson=ON -DCMAKE_DISABLE_FIND_PACKAGE_bson-1.0=ON"
# shellcheck disable=SC2086  # several arguments
{
    with_cmake core-find_package core -DCMAKE_PREFIX_PATH="$prefix" $none
    with_cmake core-add_subdirectory core -DOPLOG_SOURCE="$OPLOG_SOURCE" $none
    if "$cmake" -S "$here/full" -B "$temp/without" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" $none >"$temp/log" 2>&1; then
        fail "oplog::oplog was found without what it needs"
    fi
}
grep -q "oplog::oplog needs what was not found: zlib" "$temp/log" || { cat "$temp/log"; fail "the message does not say what is missing"; }
with_cmake full-find_package full -DCMAKE_PREFIX_PATH="$prefix"
with_cmake full-add_subdirectory full -DOPLOG_SOURCE="$OPLOG_SOURCE"

export PKG_CONFIG_PATH="$prefix/share/pkgconfig"
for consumer in core full; do
    module=oplog
    [ "$consumer" = full ] || module=oplog-core
    # shellcheck disable=SC2046  # flags are words
    "$cxx" -std=c++20 "$here/$consumer/main.cpp" -o "$temp/$consumer" $(pkg-config --cflags --libs "$module")
    "check_$consumer" "$temp/$consumer"
    echo "ok: $consumer-pkg-config"
done
if pkg-config --exists libbson-static-1.0 || pkg-config --exists bson2-static; then
    # shellcheck disable=SC2046  # flags are words
    "$cxx" -std=c++20 -static "$here/full/main.cpp" -o "$temp/static" $(pkg-config --static --cflags --libs oplog-static)
    check_full "$temp/static"
    echo "ok: full-pkg-config-static"
fi

# A library on top of this one goes into its own package, with these targets or beside theirs.
mkdir "$temp/library"
cat >"$temp/library/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(library CXX)
add_subdirectory($OPLOG_SOURCE oplog)
add_library(library INTERFACE)
target_link_libraries(library INTERFACE oplog::oplog)
install(TARGETS library \${OWN} EXPORT library)
install(EXPORT library DESTINATION lib/cmake/library)
END
logged "$cmake" -S "$temp/library" -B "$temp/library/own" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" "-DOWN=oplog_core;oplog_oplog"
logged "$cmake" -S "$temp/library" -B "$temp/library/beside" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DOPLOG_INSTALL=ON
echo "ok: a library's own export"
