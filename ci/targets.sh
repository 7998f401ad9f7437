# For the jobs that build for other targets, which source this file. Rust with its library's sources is Debian's there: what
# rustup has comes without them for targets like these, and the sources must be the compiler's own.

# Installs the packages that are missing, or says why the job cannot run and ends it.
needs_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if ! apt-get update -qq >/dev/null 2>&1 ||
        ! DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
        echo "SKIPPED: cannot install ${missing[*]}"
        exit 0
    fi
}

# Makes Debian's cargo and rustc those of this job, able to build the library that belongs to them.
use_debian_rust() {
    needs_packages rustc-web cargo-web rust-web-src "$@"
    export PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1
    unset RUSTUP_TOOLCHAIN RUSTC
    # What two compilers build never mixes.
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/debian"
    rustc --version
}
