#!/bin/bash
# Runs a command as root in a clean Debian tree: to install a package there and try it.
#
#   tests/env/package-tree.sh make                            make the tree if it is missing
#   tests/env/package-tree.sh run TREE DIST [EXTRA] -- CMD... run CMD, without a network; TREE "" is the one of make
#
# The tree is `debootstrap --variant=minbase` with python3-venv and rpm, and has no compiler. DIST (what
# packaging/dist made) is /dist there, EXTRA is /extra, tests/packages is /tests, all read-only. What CMD
# writes goes into an overlay and is gone afterwards. The root is really pivoted, since the kernel refuses
# user namespaces inside a chroot.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

CLEAN=$CACHE/package-tree-$DEBIAN_SUITE

make_tree() {
    [ -e "$CLEAN/.complete" ] && return 0
    lock package-tree
    [ ! -e "$CLEAN/.complete" ] || { unlock && return 0; }
    say "making a clean $DEBIAN_SUITE tree in $CLEAN"
    as_root rm -rf "$CLEAN"
    mkdir -p "$CACHE"
    as_root debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,rpm \
        "$DEBIAN_SUITE" "$CLEAN" "$(debian_mirror)"
    as_root rm -rf "$CLEAN/var/cache/apt/archives" "$CLEAN/var/lib/apt/lists"
    as_root touch "$CLEAN/.complete"
    unlock
}

# Runs inside its own mount, network and process namespaces, as root, and never returns.
inside() {
    local tree=$1 dist=$2 extra=$3
    shift 3
    open_tree "$tree"
    # NEW is set by open_tree
    mkdir -p "$NEW/dist" "$NEW/extra" "$NEW/tests" "$NEW/proc" "$NEW/dev" "$NEW/sys" "$NEW/tmp"
    bind "$dist" "$NEW/dist" ro
    bind "$ROOT/tests/packages" "$NEW/tests" ro
    [ -z "$extra" ] || bind "$extra" "$NEW/extra" ro
    kernel_mounts
    enter_tree
    # shellcheck disable=SC2016  # for the inner shell
    exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        /bin/sh -c 'umount -l /.old && cd / && exec "$@"' sh "$@"
}

case ${1-} in
make) make_tree ;;
run)
    shift
    tree=${1:-$CLEAN} dist=$2 extra=''
    shift 2
    [ "$1" = -- ] || { extra=$1 && shift; }
    shift
    [ "$tree" != "$CLEAN" ] || make_tree
    apart "$tree" "$dist" "$extra" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | run TREE DIST [EXTRA] -- CMD..." ;;
esac
