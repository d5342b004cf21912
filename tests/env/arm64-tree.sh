#!/bin/bash
# A Debian tree that builds for 64-bit ARM and runs what it built, by emulation.
#
#   tests/env/arm64-tree.sh make                         make the tree if it is missing
#   tests/env/arm64-tree.sh run TARGET [TOOLS] -- CMD... run CMD in it, without a network
#
# trixie, with rustc, cargo and the standard library for arm64 from its backports (they must be of one
# version), Debian's cross compiler, and qemu-user. The machine's crates and this checkout are bound
# in read-only; TARGET (cargo's target directory) is writable. TOOLS, which CMD may run, is /tools there, read-only.
# What CMD writes elsewhere goes into an overlay and is gone afterwards.
# Exit status 77: there is no mirror, or it has no such packages.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/arm64-tree
LOG=$CACHE/arm64-tree.log

make_tree() {
    [ -e "$TREE/.complete" ] && return 0
    lock arm64-tree
    [ ! -e "$TREE/.complete" ] || { unlock && return 0; }
    say "making a tree for arm64 in $TREE"
    as_root rm -rf "$TREE"
    trixie_tree "$TREE" trixie trixie-backports >"$LOG" 2>&1 || no_tree "$TREE" "$LOG" 'a compiler for arm64'
    as_root chroot "$TREE" dpkg --add-architecture arm64
    { apt_in_tree "$TREE" -qq update &&
        apt_in_tree "$TREE" -qq install -y gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross &&
        apt_in_tree "$TREE" -qq install -y -t trixie-backports rustc cargo libstd-rust-dev libstd-rust-dev:arm64 qemu-user; } \
        >>"$LOG" 2>&1 || no_tree "$TREE" "$LOG" 'a compiler for arm64'
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root mkdir -p "$TREE/src" "$TREE/target" "$TREE/cargo/registry"
    as_root touch "$TREE/.complete"
    unlock
}

# Runs inside its own mount, network and process namespaces, as root, and never returns.
inside() {
    local target=$1 crates=$2 tools=$3
    shift 3
    open_tree "$TREE"
    bind_build "$target" "$crates"
    if [ -n "$tools" ]; then
        mkdir "$NEW/tools"
        bind "$tools" "$NEW/tools" ro
    fi
    kernel_mounts
    enter_tree
    # shellcheck disable=SC2016  # for the inner shell
    exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        CARGO_HOME=/cargo CARGO_TARGET_DIR=/target CARGO_NET_OFFLINE=true CARGO_INCREMENTAL=0 \
        CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu' \
        /bin/sh -c 'umount -l /.old && cd /src && exec "$@"' sh "$@"
}

case ${1-} in
make) make_tree ;;
run)
    target=$2 tools=''
    shift 2
    [ "$1" = -- ] || { tools=$1 && shift; }
    shift
    make_tree
    mkdir -p "$target"
    crates=${CARGO_HOME:-$HOME/.cargo}/registry
    apart "$target" "$crates" "$tools" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | run TARGET -- CMD..." ;;
esac
