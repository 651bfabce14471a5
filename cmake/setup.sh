# shellcheck shell=bash
# For demo.sh and test.sh: gets a Debian or Ubuntu machine ready, and builds. They source it from the project's directory.

# shellcheck disable=SC2034  # theirs to use
build_packages=(g++ cmake ninja-build pkg-config zlib1g-dev libzstd-dev libbson-dev libssl-dev libfmt-dev libcxxopts-dev
    doctest-dev python3)

# Installs those of the named packages that are missing, and says so.
need_packages() {
    local package missing=() as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "No apt-get here, so nothing is installed; needed are what Debian calls: $*"
        return
    fi
    for package; do
        [[ $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null) == installed* ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "Installing what is missing: ${missing[*]}"
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "That takes root, and there is no sudo. As root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [TARGET]: configures once, and again only when a CMake file changed.
build() {
    [[ -e build/$1/build.ninja ]] || cmake --preset "$1"
    cmake --build --preset "$1" ${2:+--target "$2"}
}
