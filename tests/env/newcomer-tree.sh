#!/bin/bash
# Runs a script in a Debian tree that holds Python and nothing else that Moorline could lean on: no compiler, no
# container software, no git. As an ordinary user, with the machine's loopback as its network.
#
#   tests/env/newcomer-tree.sh make            make the tree if it is missing
#   tests/env/newcomer-tree.sh run DIR SCRIPT  run SCRIPT (a file below DIR) in it
#
# DIR is bound at /given, read-only; DIR/etc/* becomes part of the tree's /etc. /home/user is empty, what is written
# goes into an overlay and is gone afterwards. The root is really pivoted, since the kernel refuses user namespaces
# inside a chroot.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/newcomer-tree-$DEBIAN_SUITE
# no account of the machine has it
UID_IN_TREE=59998

make_tree() {
    [ -e "$TREE/.complete" ] && return 0
    lock newcomer-tree
    [ ! -e "$TREE/.complete" ] || { unlock && return 0; }
    say "making a $DEBIAN_SUITE tree with Python in $TREE"
    as_root rm -rf "$TREE"
    mkdir -p "$CACHE"
    as_root debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$DEBIAN_SUITE" "$TREE" "$(debian_mirror)"
    local unwanted
    for unwanted in usr/bin/gcc usr/bin/cc usr/bin/git usr/bin/podman usr/bin/docker usr/bin/apptainer usr/bin/mksquashfs; do
        [ ! -e "$TREE/$unwanted" ] || die "the newcomer's tree holds /$unwanted"
    done
    as_root mkdir -p "$TREE/given" "$TREE/home/user"
    as_root chroot "$TREE" useradd --uid "$UID_IN_TREE" --no-create-home --home-dir /home/user --shell /bin/bash newcomer
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root touch "$TREE/.complete"
    unlock
}

# Runs inside its own mount and process namespaces, as root, and never returns.
inside() {
    local given=$1 script=$2
    open_tree "$TREE"
    bind "$given" "$NEW/given" ro
    cp -r "$given/etc/." "$NEW/etc/"
    chown "$UID_IN_TREE:$UID_IN_TREE" "$NEW/home/user"
    kernel_mounts
    enter_tree
    # shellcheck disable=SC2016  # for the inner shell
    exec /usr/bin/env -i PATH=/usr/bin:/bin HOME=/home/user LC_ALL=C.UTF-8 PIP_NO_INDEX=1 PIP_FIND_LINKS=/given/wheels \
        /bin/sh -c 'umount -l /.old && cd /home/user && exec setpriv --reuid="$0" --regid="$0" --clear-groups --no-new-privs -- /bin/bash "$1"' \
        "$UID_IN_TREE" "/given/$script"
}

case ${1-} in
make) make_tree ;;
run)
    make_tree
    as_root env MOORLINE_TEST_CACHE="$CACHE" unshare --mount --propagation private --pid --fork --kill-child \
        "$0" --inside "$(realpath "$2")" "$3"
    ;;
--inside) inside "$2" "$3" ;;
*) die "usage: $0 make | run DIR SCRIPT" ;;
esac
