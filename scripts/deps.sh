#!/usr/bin/env bash
# Installs what is missing to build (`deps.sh build`) or also to test (`deps.sh test`), and says what it does.
# Changes nothing, and takes a moment only, when nothing is missing. Everything it fetches is pinned.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODE=${1:-test}
readonly CACHE_DIR=${FLAME_CACHE_DIR:-$HOME/.cache/flame-ha}
readonly VENV=${FLAME_VENV:-$CACHE_DIR/venv-flamepy-0.6.0}
readonly REQUIREMENTS=sdk/conformance/python/requirements.txt
readonly NEXTEST_VERSION=0.9.143
# As in Cargo.toml (rust-version).
readonly RUST_MINOR=95

# build: C++ for RocksDB, libclang for its bindings, ccache so that RocksDB is compiled once.
# test: protoc for the published Rust client, Python for the published Python client, ext4 and loop devices for power cuts.
BUILD_PACKAGES=(build-essential clang libclang-dev ccache pkg-config ca-certificates)
TEST_PACKAGES=(protobuf-compiler python3 python3-venv e2fsprogs util-linux mount)

say() { printf 'deps: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

install_packages() {
    command -v dpkg-query >/dev/null || {
        say "not a Debian or Ubuntu machine: install the equivalents of: $*"
        return
    }
    local missing=() package
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local as_root=()
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || fail "run this once, then try again: sudo apt-get install ${missing[*]}"
        as_root=(sudo -n)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

check_rust() {
    local version minor
    version=$(rustc --version 2>/dev/null) || fail "Rust 1.$RUST_MINOR or later is needed; install it with rustup"
    minor=$(cut -d. -f2 <<<"$version")
    ((minor >= RUST_MINOR)) || fail "Rust 1.$RUST_MINOR or later is needed, this is $version; try: rustup update stable"
}

fetch_crates() {
    cargo fetch --locked --quiet
    [[ $MODE == build ]] || cargo fetch --locked --quiet --manifest-path sdk/conformance/rust/Cargo.toml
}

check_test_tools() {
    cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing; try: rustup component add clippy"
    cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing; try: rustup component add rustfmt"
    cargo nextest --version >/dev/null 2>&1 || {
        say "installing cargo-nextest $NEXTEST_VERSION (compiles for some minutes, once)"
        env -u CARGO_TARGET_DIR cargo install cargo-nextest --locked --version "$NEXTEST_VERSION" >&2
    }
}

# The published Python client, with hashes. The stamp holds the hash of the list that was installed.
make_venv() {
    local wanted
    wanted=$(sha256sum <"$REQUIREMENTS")
    [[ -x $VENV/bin/python && $(cat "$VENV/.installed" 2>/dev/null) == "$wanted" ]] && return
    say "installing the published Python client into $VENV"
    [[ -x $VENV/bin/python ]] || python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$REQUIREMENTS" >&2
    printf '%s' "$wanted" >"$VENV/.installed"
}

case $MODE in
    build) install_packages "${BUILD_PACKAGES[@]}" ;;
    test) install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" ;;
    *) fail "usage: deps.sh build|test" ;;
esac
check_rust
fetch_crates
if [[ $MODE == test ]]; then
    check_test_tools
    make_venv
fi
