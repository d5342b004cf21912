#!/bin/bash
# Real apptainer, from Debian sid, in a tree of its own: the machine's own packages stay as they are.
#
#   tests/env/apptainer.sh make                     make the tree if it is missing
#   tests/env/apptainer.sh run WORK [USER] -- CMD   run CMD in it, as root or as USER (a number), with
#                                                   the directory WORK at /work, without a network
#
# The tree begins as trixie and takes apptainer from sid, because an older debootstrap does not know
# what a new sid needs. What CMD writes outside of /work goes into an overlay and is gone afterwards.
# The root is really pivoted: apptainer finds no parent mount point inside a chroot. /dev/fuse is a node
# that everybody may open, as it is where apptainer is used; the machine's stays as it is.
# Exit status 77: there is no mirror, or it has no apptainer.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/apptainer-tree
LOG=$CACHE/apptainer-tree.log
# beside apptainer, for the tests that play a terminal there and look at keys
MORE="python3 less keyutils"

make_tree() {
    [ -e "$TREE/.complete-2" ] && return 0
    lock apptainer-tree
    [ ! -e "$TREE/.complete-2" ] || { unlock && return 0; }
    if [ -e "$TREE/.complete" ]; then
        say "adding $MORE to the tree in $TREE"
        # shellcheck disable=SC2086  # words
        { apt_in_tree "$TREE" -qq update && apt_in_tree "$TREE" -qq install -y $MORE; } >>"$LOG" 2>&1 ||
            no_tree "$TREE" "$LOG" "$MORE"
        as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
        as_root touch "$TREE/.complete-2"
        unlock
        return 0
    fi
    say "making a tree with apptainer in $TREE"
    as_root rm -rf "$TREE"
    trixie_tree "$TREE" sid >"$LOG" 2>&1 || no_tree "$TREE" "$LOG" apptainer
    # shellcheck disable=SC2086  # words
    { apt_in_tree "$TREE" -qq update && apt_in_tree "$TREE" -qq install -y apptainer squashfs-tools squashfuse fuse3 $MORE; } \
        >>"$LOG" 2>&1 || no_tree "$TREE" "$LOG" apptainer
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root mkdir -p "$TREE/work"
    # Root in a container may lack CAP_SYS_RESOURCE, and then cannot hand on `full` capabilities.
    as_root sed -i 's/^root default capabilities = .*/root default capabilities = file/' "$TREE/etc/apptainer/apptainer.conf"
    as_root touch "$TREE/.complete" "$TREE/.complete-2"
    unlock
}

# Runs inside its own mount, network and process namespaces, as root, and never returns.
inside() {
    local work=$1 user=$2
    shift 2
    # the command's own directory must not be found empty below the new root
    work=$(cd "$work" && pwd -P)
    open_tree "$TREE"
    mount --bind "$work" "$NEW/work"
    kernel_mounts
    fuse_for_all
    printf '127.0.0.1 localhost\n' >"$NEW/etc/hosts"
    [ "$user" = 0 ] || user_in_tree tester "$user"
    enter_tree
    local home=/root
    [ "$user" = 0 ] || home=/home/tester
    # shellcheck disable=SC2016  # for the inner shell
    exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" LC_ALL=C.UTF-8 /bin/sh -c '
        umount -l /.old && cd /work || exit 70
        user=$1
        shift
        [ "$user" != 0 ] || exec "$@"
        exec setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"' sh "$user" "$@"
}

case ${1-} in
make) make_tree ;;
run)
    work=$2 user=0
    shift 2
    [ "$1" = -- ] || { user=$1 && shift; }
    shift
    make_tree >&2
    apart "$work" "$user" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | run WORK [USER] -- CMD..." ;;
esac
