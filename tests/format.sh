#!/bin/sh
# The C++ here is laid out as .clang-format says: names the places that are not, and fails; with --fix, lays everything out.
# It takes clang-format 14, because others differ in details.
set -eu
cd "$(dirname "$0")/.."
for name in clang-format-14 clang-format; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
        format=$name
        break
    fi
done
if [ -z "${format:-}" ]; then
    echo "clang-format 14 is not here"
    exit 77 # skipped
fi
case ${1:-} in
--fix) set -- -i ;;
*) set -- --dry-run -Werror ;;
esac
find include tools tests fuzz bench examples -name '*.hpp' -o -name '*.cpp' | sort | xargs "$format" "$@"
