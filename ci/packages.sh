# For the jobs that run real programs, which source this file: Debian's packages, unpacked under target/, beside nothing of the
# system's. Nothing of them is installed, and no server is started by an installation.

# The folder that they are unpacked into, laid out as / is.
programs="$(realpath -m "${CARGO_TARGET_DIR:-target}")/preload-programs"

# redis-server with what it is linked with, and the allocators to measure beside ours.
common_packages=(redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson libhiredis0.14 libatomic1 libmimalloc2.0)

# Unpacks the packages that are not there yet; says of each that is not to be had that it is skipped.
unpack_packages() {
    local package updated=
    mkdir -p "$programs/debs"
    for package in "$@"; do
        [ -e "$programs/debs/$package.unpacked" ] && continue
        [ -n "$updated" ] || apt-get update -qq || true
        updated=1
        rm -f "$programs/debs/$package"_*.deb
        if (cd "$programs/debs" && apt-get download -qq "$package" 2>/dev/null) &&
            dpkg -x "$programs/debs/$package"_*.deb "$programs"; then
            touch "$programs/debs/$package.unpacked"
        else
            echo "SKIPPED: no $package to be had here"
        fi
    done
}

# Unpacks a program that is not installed: its name, and its packages.
unpack_program() {
    command -v "$1" >/dev/null || unpack_packages "${@:2}"
}
