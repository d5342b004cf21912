# shellcheck shell=bash
# What the scripts share that make a Debian tree or enter one; sourced by them after tests/lib.sh.

apt_in_tree() { # TREE ARGS...
    local tree=$1
    shift
    as_root chroot "$tree" /usr/bin/env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get "$@" </dev/null
}

# trixie_tree TREE SUITE...: a new tree of trixie whose packages come from these suites.
trixie_tree() {
    local tree=$1 mirror suite
    shift
    mirror=$(debian_mirror)
    as_root debootstrap --variant=minbase --include=ca-certificates trixie "$tree" "$mirror" || return
    # nothing is started, and a mirror that stands still is no error
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$tree/usr/sbin/policy-rc.d" >/dev/null
    as_root chmod 755 "$tree/usr/sbin/policy-rc.d"
    for suite in "$@"; do printf 'deb %s %s main\n' "$mirror" "$suite"; done |
        as_root tee "$tree/etc/apt/sources.list" >/dev/null
    as_root rm -rf "$tree/etc/apt/sources.list.d"
    printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Check-Valid-Until "false";' |
        as_root tee "$tree/etc/apt/apt.conf.d/99tests" >/dev/null
    as_root cp /etc/resolv.conf /etc/hosts "$tree/etc/"
}

# no_tree TREE LOG WHAT: says why, and ends the script as skipped.
no_tree() {
    tail -n 5 "$2" >&2
    as_root rm -rf "$1"
    printf '%s cannot be installed from %s\n' "$3" "$(debian_mirror)" >&2
    exit "$SKIPPED"
}

# apart ARGS...: this script again with --inside ARGS, as root in mount, network and process namespaces
# of its own.
apart() {
    as_root env MOORLINE_TEST_CACHE="$CACHE" unshare --mount --propagation private --net --pid --fork --kill-child \
        "$0" --inside "$@"
}

# The rest is for a process that was set apart.

# open_tree TREE: sets NEW to a root that is TREE, with an overlay for what is written there.
open_tree() {
    local hold
    hold=$(mktemp -d)
    mount -t tmpfs -o mode=755 tmpfs "$hold"
    mkdir "$hold/upper" "$hold/scratch" "$hold/root"
    mount -t overlay -o "lowerdir=$1,upperdir=$hold/upper,workdir=$hold/scratch" overlay "$hold/root"
    NEW=$hold/root
}

bind() { # FROM TO ro|rw
    mount --bind "$1" "$2" && mount -o "remount,bind,$3" "$2"
}

# bind_build TARGET CRATES: this checkout at /src, cargo's target directory at /target, and the crates.
bind_build() {
    bind "$ROOT" "$NEW/src" ro
    bind "$1" "$NEW/target" rw
    # Only what was downloaded: some crates unpack to files that their owner alone may read.
    mkdir -p "$NEW/cargo/registry/index" "$NEW/cargo/registry/cache" "$NEW/cargo/registry/src" "$1/crates"
    bind "$2/index" "$NEW/cargo/registry/index" ro
    bind "$2/cache" "$NEW/cargo/registry/cache" ro
    bind "$1/crates" "$NEW/cargo/registry/src" rw
}

# kernel_mounts: what a system has besides its files, and loopback.
kernel_mounts() {
    mount -t proc proc "$NEW/proc"
    mount --rbind /dev "$NEW/dev"
    mount --rbind /sys "$NEW/sys"
    mount -t tmpfs -o mode=1777 tmpfs "$NEW/tmp"
    ip link set lo up
}

# fuse_for_all: a /dev/fuse that every user may open, as it is where it is used; the machine's stays as it is.
fuse_for_all() {
    mknod -m 666 "$NEW/../fuse" c 10 229
    mount --bind "$NEW/../fuse" "$NEW/dev/fuse"
}

# user_in_tree NAME ID: an account of the tree, with a home.
user_in_tree() {
    printf '%s:x:%s:%s::/home/%s:/bin/sh\n' "$1" "$2" "$2" "$1" >>"$NEW/etc/passwd"
    printf '%s:x:%s:\n' "$1" "$2" >>"$NEW/etc/group"
    install -d -o "$2" -g "$2" "$NEW/home/$1"
}

# enter_tree: from here on everything comes from the tree; what was before is at /.old.
enter_tree() {
    cd "$NEW" || return
    mkdir -p .old
    pivot_root . .old
}
