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

TREE=$CACHE/apptainer-tree

apt_in_tree() { as_root chroot "$TREE" /usr/bin/env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get "$@" </dev/null; }

make_tree() {
    [ -e "$TREE/.complete" ] && return 0
    lock apptainer-tree
    [ ! -e "$TREE/.complete" ] || { unlock && return 0; }
    say "making a tree with apptainer in $TREE"
    as_root rm -rf "$TREE"
    local mirror
    mirror=$(debian_mirror)
    as_root debootstrap --variant=minbase --include=ca-certificates trixie "$TREE" "$mirror" >"$CACHE/apptainer-tree.log" 2>&1 || no_tree
    # nothing is started, and a mirror that stands still is no error
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$TREE/usr/sbin/policy-rc.d" >/dev/null
    as_root chmod 755 "$TREE/usr/sbin/policy-rc.d"
    printf 'deb %s sid main\n' "$mirror" | as_root tee "$TREE/etc/apt/sources.list" >/dev/null
    as_root rm -rf "$TREE/etc/apt/sources.list.d"
    printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Check-Valid-Until "false";' |
        as_root tee "$TREE/etc/apt/apt.conf.d/99tests" >/dev/null
    as_root cp /etc/resolv.conf /etc/hosts "$TREE/etc/"
    { apt_in_tree -qq update && apt_in_tree -qq install -y apptainer squashfs-tools squashfuse fuse3; } \
        >>"$CACHE/apptainer-tree.log" 2>&1 || no_tree
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root mkdir -p "$TREE/work"
    # Root in a container may lack CAP_SYS_RESOURCE, and then cannot hand on `full` capabilities.
    as_root sed -i 's/^root default capabilities = .*/root default capabilities = file/' "$TREE/etc/apptainer/apptainer.conf"
    as_root touch "$TREE/.complete"
    unlock
}

no_tree() {
    tail -n 5 "$CACHE/apptainer-tree.log" >&2
    as_root rm -rf "$TREE"
    printf 'apptainer cannot be installed from %s\n' "$(debian_mirror)" >&2
    exit "$SKIPPED"
}

# Runs inside its own mount, network and process namespaces, as root, and never returns.
inside() {
    local work=$1 user=$2 new
    shift 2
    new=$(mktemp -d)
    # the command's own directory must not be found empty below the new root
    work=$(cd "$work" && pwd -P)
    mount -t tmpfs -o mode=755 tmpfs "$new"
    mkdir "$new/upper" "$new/scratch" "$new/root"
    mknod -m 666 "$new/fuse" c 10 229
    mount -t overlay -o "lowerdir=$TREE,upperdir=$new/upper,workdir=$new/scratch" overlay "$new/root"
    mount --bind "$work" "$new/root/work"
    mount -t proc proc "$new/root/proc"
    mount --rbind /sys "$new/root/sys"
    mount --rbind /dev "$new/root/dev"
    mount --bind "$new/fuse" "$new/root/dev/fuse"
    mount -t tmpfs -o mode=1777 tmpfs "$new/root/tmp"
    printf '127.0.0.1 localhost\n' >"$new/root/etc/hosts"
    if [ "$user" != 0 ]; then
        printf 'tester:x:%s:%s::/home/tester:/bin/sh\n' "$user" "$user" >>"$new/root/etc/passwd"
        printf 'tester:x:%s:\n' "$user" >>"$new/root/etc/group"
        install -d -o "$user" -g "$user" "$new/root/home/tester"
    fi
    ip link set lo up
    cd "$new/root"
    mkdir -p .old
    pivot_root . .old
    local home=/root
    [ "$user" = 0 ] || home=/home/tester
    # From here on everything comes from the tree.
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
    as_root env MOORLINE_TEST_CACHE="$CACHE" unshare --mount --propagation private --net --pid --fork --kill-child \
        "$0" --inside "$work" "$user" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | run WORK [USER] -- CMD..." ;;
esac
