#!/bin/bash
# Runs a command in a Debian tree that holds a C compiler and nothing else that a build could lean on.
#
#   tests/env/minimal-tree.sh make                 make the tree if it is missing
#   tests/env/minimal-tree.sh run TARGET -- CMD... run CMD in it, as an ordinary user, without a network
#
# The tree is `debootstrap --variant=minbase` with gcc, libc6-dev and ca-certificates: no pkg-config,
# no cmake, no libdbus, libseccomp or OpenSSL headers. The machine's Rust toolchain, its crates and
# this checkout are bound in read-only; TARGET (cargo's target directory) and /home/user are writable.
# What CMD writes elsewhere goes into an overlay and is gone afterwards. The root is really pivoted,
# since the kernel refuses user namespaces inside a chroot.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/minimal-tree-$DEBIAN_SUITE
# no account of the machine has it
UID_IN_TREE=59999

make_tree() {
    [ -e "$TREE/.complete" ] && return 0
    lock minimal-tree
    [ ! -e "$TREE/.complete" ] || { unlock && return 0; }
    say "making a minimal $DEBIAN_SUITE tree in $TREE"
    as_root rm -rf "$TREE"
    mkdir -p "$CACHE"
    as_root debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$DEBIAN_SUITE" "$TREE" "$(debian_mirror)"
    local unwanted
    for unwanted in usr/bin/pkg-config usr/bin/cmake usr/bin/make usr/bin/g++ usr/include/dbus-1.0 usr/include/seccomp.h usr/include/openssl; do
        [ ! -e "$TREE/$unwanted" ] || die "the minimal tree holds /$unwanted"
    done
    as_root mkdir -p "$TREE/opt/rust" "$TREE/cargo" "$TREE/src" "$TREE/target" "$TREE/home/user"
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root touch "$TREE/.complete"
    unlock
}

# Runs inside its own mount, network and process namespaces, as root, and never returns.
inside() {
    local target=$1 sysroot=$2 crates=$3
    shift 3
    open_tree "$TREE"
    bind "$sysroot" "$NEW/opt/rust" ro
    bind_build "$target" "$crates"
    chown "$UID_IN_TREE:$UID_IN_TREE" "$target/crates"
    chown "$UID_IN_TREE:$UID_IN_TREE" "$NEW/cargo" "$NEW/home/user"
    kernel_mounts
    enter_tree
    # shellcheck disable=SC2016  # for the inner shell
    exec /usr/bin/env -i PATH=/opt/rust/bin:/usr/bin:/bin HOME=/home/user LC_ALL=C.UTF-8 \
        CARGO_HOME=/cargo CARGO_TARGET_DIR=/target CARGO_NET_OFFLINE=true \
        /bin/sh -c 'umount -l /.old && cd /src && exec setpriv --reuid="$0" --regid="$0" --clear-groups --no-new-privs -- "$@"' \
        "$UID_IN_TREE" "$@"
}

case ${1-} in
make) make_tree ;;
run)
    target=$2
    shift 3
    make_tree
    mkdir -p "$target"
    as_root chown -R "$UID_IN_TREE:$UID_IN_TREE" "$target"
    sysroot=$(rustc --print sysroot)
    crates=${CARGO_HOME:-$HOME/.cargo}/registry
    apart "$target" "$sysroot" "$crates" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | run TARGET -- CMD..." ;;
esac
