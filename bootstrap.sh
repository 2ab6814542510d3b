#!/bin/sh
# Installs what a fresh Debian or Ubuntu machine lacks: a C compiler, Git, Rust, and the lab's packages.
# `. ./bootstrap.sh --env` only puts the tools on the PATH of the calling shell.

if [ -d "$HOME/.cargo/bin" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
if [ -d /usr/local/go/bin ]; then PATH="/usr/local/go/bin:$PATH"; fi
export PATH

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

packages() {
    missing=""
    for package in build-essential ca-certificates curl git gnupg gpgv pkg-config python3-venv; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    echo "setup: installing$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
}

rust() {
    have cargo && return 0
    echo "setup: installing Rust"
    if apt-cache show rustup >/dev/null 2>&1; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup >/dev/null
        rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install --profile minimal
    else
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal --default-toolchain none
        PATH="$HOME/.cargo/bin:$PATH"
    fi
}

if [ "${1:-}" != --env ] && [ "${0##*/}" = bootstrap.sh ]; then
    set -eu
    cd "$(dirname "$0")"
    packages
    rust
    ./lab/setup.sh
fi
