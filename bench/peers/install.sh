#!/usr/bin/env bash
# Installs one of the systems that benchmarks compare with: `install.sh ray|dask|celery|etcd|bare FOLDER`.
# Everything goes below FOLDER: Python packages, pinned with hashes, into a virtual environment; Debian packages, checked
# by apt and unpacked without being installed, so that no service is started and nothing of the system changes.
# Uses no network and takes a moment only, when it is there already. The stamp says what is there.
set -euo pipefail
SOURCES=$(cd "$(dirname "$0")" && pwd)
readonly SOURCES
readonly FAMILY=${1:-} FOLDER=${2:-}/${1:-}
readonly PYTHON=${PYTHON:-python3}
readonly STAMP=$FOLDER/.installed

say() { printf 'peers: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# What the stamp has to say: everything that decides what is installed.
wanted() {
    local files=("$SOURCES/install.sh")
    [[ ! -f $SOURCES/$FAMILY.txt ]] || files+=("$SOURCES/$FAMILY.txt" /dev/stdin)
    # The interpreter counts where there are Python packages.
    ("$PYTHON" --version 2>&1 || true) | cat "${files[@]}" | sha256sum
}

install_python() {
    say "installing $FAMILY into $FOLDER"
    "$PYTHON" -m venv "$FOLDER" >&2 || fail "no virtual environment could be made; is python3-venv installed?"
    "$FOLDER/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary=:all: \
        --require-hashes -r "$SOURCES/$FAMILY.txt" >&2 ||
        fail "not every Python package of $FAMILY could be installed (is there a network?)"
}

# Debian's packages with these names, as the machine's own sources have them now.
unpack_debian() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "$FAMILY comes from Debian, and this is none"
    say "fetching with apt: $*"
    local fetched as_root=()
    fetched=$(mktemp -d)
    # Its lists may be missing or name versions that are gone: then they are fetched, which root alone may do.
    if ! (cd "$fetched" && apt-get download -q "$@" >/dev/null 2>&1); then
        ((EUID == 0)) || as_root=(sudo -n)
        "${as_root[@]}" apt-get update -q >&2 || fail "apt could not fetch its lists; as root: apt-get update"
        (cd "$fetched" && apt-get download -q "$@" >&2) || fail "apt could not fetch $*"
    fi
    mkdir -p "$FOLDER"
    local package
    for package in "$fetched"/*.deb; do
        dpkg-deb -x "$package" "$FOLDER"
    done
    rm -rf "$fetched"
}

case $FAMILY in
    ray | dask | celery | etcd | bare) ;;
    *) fail "usage: install.sh ray|dask|celery|etcd|bare FOLDER" ;;
esac
[[ -n ${2:-} ]] || fail "name the folder"
[[ $(cat "$STAMP" 2>/dev/null) == "$(wanted)" ]] && exit 0
# What an interrupted or older installation left is not built upon.
rm -rf "$FOLDER"
mkdir -p "$FOLDER"
case $FAMILY in
    ray | dask) install_python ;;
    celery)
        install_python
        # The server, and those of its libraries that a Debian system does not always have.
        unpack_debian redis-server redis-tools libatomic1 libjemalloc2 liblzf1
        ;;
    etcd) unpack_debian etcd-server etcd-client ;;
    # Nothing but an interpreter.
    bare) "$PYTHON" -m venv --without-pip "$FOLDER" >&2 || fail "no virtual environment could be made" ;;
esac
wanted >"$STAMP"
say "$FAMILY is in $FOLDER"
