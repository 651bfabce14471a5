#!/bin/sh
# Makes the packages of a build and holds them against what they promise: packages.sh CMAKE BUILD_DIR [--root]
# The .deb is clean to lintian, and what is in it runs. With --root it is also installed into a fresh Debian (debootstrap,
# which takes root and some minutes), where the tools do the main job, and removed.
set -eu
cmake=$1 build=$2 root=${3:-}
crud=$OPLOG_SOURCE/tests/data/crud
temp=$(mktemp -d)
trap 'rm -rf --one-file-system "$temp"' EXIT
fail() { echo "$*" >&2; exit 1; }
command -v dpkg-deb >/dev/null || { echo "dpkg-deb is not here"; exit 77; }

"${cmake%cmake}cpack" --config "$build/CPackConfig.cmake" -G "DEB;TGZ" -B "$temp/made" >"$temp/log" 2>&1 || { cat "$temp/log"; fail "cpack failed"; }
tools=$(ls "$temp"/made/oplog_*.deb) dev=$(ls "$temp"/made/oplog-dev_*.deb)
tar -tzf "$temp"/made/oplog-*.tar.gz | grep -q '/bin/oplog-range$' || fail "the .tar.gz lacks a tool"
! tar -tzf "$temp"/made/oplog-*.tar.gz | grep -q '/etc/' || fail "the .tar.gz has files for /etc"
if command -v lintian >/dev/null; then
    lintian --fail-on error,warning --no-tag-display-limit "$tools" "$dev" 2>"$temp/log" || fail "lintian found faults"
fi

dpkg-deb -x "$tools" "$temp/tree"
dpkg-deb -x "$dev" "$temp/tree"
for file in etc/oplog/config.ini usr/lib/systemd/system/oplog-inc.timer usr/share/bash-completion/completions/oplog-slice usr/include/oplog/oplog.hpp usr/share/cmake/oplog/oplog-config.cmake; do
    [ -e "$temp/tree/$file" ] || fail "not in the packages: $file"
done
job='oplog-verify -q --full full inc1 inc2 inc3 >/dev/null && oplog-apply -q --full full inc1 inc2 inc3 -o later && oplog-merge --chain inc1 inc2 inc3 | oplog-range --last'
cp -r "$crud" "$temp/crud"
[ "$(cd "$temp/crud" && PATH=$temp/tree/usr/bin:$PATH sh -c "$job")" = 1795352339:321 ] || fail "the tools of the package do not do their job"
PATH=$temp/tree/usr/bin:$PATH oplog-backup -c "$temp/tree/etc/oplog/config.ini" --insecure-config status >/dev/null 2>"$temp/log" || grep -q /var/lib/oplog "$temp/log" ||
    { cat "$temp/log"; fail "the configuration of the package is not understood"; }
if command -v systemd-analyze >/dev/null; then
    for unit in "$temp"/tree/usr/lib/systemd/system/*; do # the user and the program are not on this machine
        systemd-analyze verify --man=no "$unit" 2>&1 | grep -vE "oplog-backup is not executable|No such file" | grep "$(basename "$unit")" && fail "$unit is wrong"
    done
fi
[ "$root" = --root ] || exit 0

command -v debootstrap >/dev/null && [ "$(id -u)" = 0 ] || { echo "debootstrap is not here, or this is not root"; exit 77; }
debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$temp/root" >"$temp/log" 2>&1 || { tail "$temp/log"; fail "debootstrap failed"; }
cp -r "$temp/crud" "$tools" "$temp/root/root/"
rm -rf "$temp/root/root/crud/later"
in_root() { chroot "$temp/root" sh -ec "cd /root/crud; $*"; }
in_root "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /root/$(basename "$tools")" >"$temp/log" 2>&1 || { tail "$temp/log"; fail "it cannot be installed"; }
[ "$(in_root "$job")" = 1795352339:321 ] || fail "the installed tools do not do their job"
[ "$(in_root 'stat -c "%U %a" /etc/oplog/config.ini /var/lib/oplog /var/log/oplog' | paste -sd,)" = "oplog 600,oplog 750,oplog 750" ] || fail "owners and permissions are wrong"
in_root 'setpriv --reuid=oplog --regid=oplog --clear-groups oplog-backup -c /etc/oplog/config.ini status' >/dev/null || fail "its user cannot read the configuration"
in_root 'dpkg -r oplog && ! command -v oplog-range && test -e /etc/oplog/config.ini && dpkg -P oplog && ! test -e /etc/oplog' >"$temp/log" 2>&1 || { cat "$temp/log"; fail "it cannot be removed"; }
echo "installed into a fresh root, used and removed"
