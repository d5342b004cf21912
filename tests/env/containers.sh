#!/bin/bash
# Container engines of Debian sid, which Debian 12 does not have yet, in the tree of apptainer.sh.
#
#   tests/env/containers.sh make                make the tree, with the engines, if it is missing
#   tests/env/containers.sh docker CMD...       run CMD as root beside docker's daemon with containerd's image store
#   tests/env/containers.sh rootless CMD...     run CMD as an ordinary user beside a daemon of this user's own
#   tests/env/containers.sh inside CMD...       run CMD as root in a container of apptainer
#   tests/env/containers.sh inside-user CMD...  the same as an ordinary user, started as DIRAC's pilots start it
#
# The checkout, cargo's target directory and the run's folder are bound to where they are outside, so that a test
# program runs in there as it is. What is written elsewhere goes into an overlay and is gone with the processes,
# which end with the first one of their namespace. The container of apptainer has the tree itself as its image, so
# all engines are in it.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/apptainer-tree
LOG=$CACHE/containers-tree.log
PACKAGES="docker.io docker-cli rootlesskit slirp4netns uidmap podman crun catatonit tini iptables iproute2 proot charliecloud-runtime busybox-static procps curl"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# An account without rights that no machine has.
USER_ID=59998

make_tree() {
    "$ROOT/tests/env/apptainer.sh" make || return
    [ -e "$TREE/.containers" ] && return 0
    lock apptainer-tree
    [ ! -e "$TREE/.containers" ] || { unlock && return 0; }
    say "adding container engines to the tree in $TREE"
    # shellcheck disable=SC2086  # words
    { apt_in_tree "$TREE" -qq update && apt_in_tree "$TREE" -qq install -y $PACKAGES; } >"$LOG" 2>&1 || {
        tail -n 5 "$LOG" >&2
        printf 'docker cannot be installed from %s\n' "$(debian_mirror)" >&2
        exit "$SKIPPED"
    }
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root touch "$TREE/.containers"
    unlock
}

# The rest runs as root in namespaces of its own; the first process of these is this shell.

as_user() {
    setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- "$@"
}

# bare HOME CMD...: with no more environment than the tests need.
bare() {
    local home=$1 pass=() name
    shift
    for name in $(compgen -e); do
        case $name in MOORLINE_TEST* | MOORLINE_RUN | XDG_RUNTIME_DIR) pass+=("$name=${!name}") ;; esac
    done
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" LC_ALL=C.UTF-8 CARGO_MANIFEST_DIR="$ROOT" "${pass[@]}" "$@"
}

# daemon HOME RUNNER CMD...: waits for the daemon that CMD starts; a docker context in HOME leads to it.
daemon() {
    local home=$1 runner=$2 socket
    socket=unix://$home/docker.sock
    shift 2
    "$runner" "$@" -H "$socket" >"$home/log" 2>&1 &
    wait_for 60 "$runner" docker -H "$socket" info || {
        tail -n 20 "$home/log" >&2
        die "dockerd does not start here"
    }
    "$runner" env HOME="$home" docker context create moorline --docker "host=$socket" >/dev/null
    "$runner" env HOME="$home" docker context use moorline >/dev/null
    "$runner" docker -H "$socket" info --format 'docker {{.ServerVersion}}, {{.Driver}}, {{json .DriverStatus}}, {{json .SecurityOptions}}'
    export MOORLINE_TEST_DOCKER_HOME=$home
}

plain() { "$@"; }

run_docker() {
    mkdir /tmp/docker
    printf '{"features":{"containerd-snapshotter":true}}\n' >/tmp/docker/daemon.json
    daemon /tmp/docker plain dockerd --config-file /tmp/docker/daemon.json --data-root /tmp/docker/data \
        --iptables=false --ip6tables=false --bridge=none
    export MOORLINE_TEST_DOCKER_STORE=containerd
    bare /root "$@"
}

run_rootless() {
    local home=/home/tester
    export XDG_RUNTIME_DIR=/run/user/$USER_ID
    as_user mkdir -p "$home/.config/docker"
    daemon "$home" as_user env HOME="$home" USER=tester PATH="$PATH" \
        prlimit --nofile=1024:4096 sh /usr/share/docker.io/contrib/dockerd-rootless.sh --iptables=false --ip6tables=false --bridge=none
    bare "$home" setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- "$@"
}

binds() {
    local path
    for path in "$ROOT" "$TARGET" "$MOORLINE_RUN"; do printf -- '--bind %s ' "$path"; done
}

inside_apptainer() {
    export MOORLINE_TEST_INSIDE=root
    # shellcheck disable=SC2046  # words
    bare /root apptainer exec $(binds) /image "$@"
}

inside_apptainer_user() {
    local home=/home/tester
    export MOORLINE_TEST_INSIDE=user
    as_user mkdir "$home/pilot"
    # shellcheck disable=SC2046  # words
    bare "$home" setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- \
        apptainer exec --contain --ipc --userns --workdir "$home/pilot" --home "$home" $(binds) /image "$@"
}

inside() {
    local what=$1 path
    shift
    open_tree "$TREE"
    kernel_mounts
    fuse_for_all
    # the network of a daemon without root
    if [ -e "$NEW/dev/net/tun" ]; then
        mknod -m 666 "$NEW/../tun" c 10 200
        mount --bind "$NEW/../tun" "$NEW/dev/net/tun"
    fi
    user_in_tree tester "$USER_ID"
    # as a disk is: no overlay lies on an overlay
    mount -t tmpfs -o "uid=$USER_ID,gid=$USER_ID,mode=755" tmpfs "$NEW/home/tester"
    for path in subuid subgid; do echo "tester:100000:65536" >"$NEW/etc/$path"; done
    chmod 755 "$NEW/root"
    for path in "$ROOT" "$TARGET" "$MOORLINE_RUN"; do
        mkdir -p "$NEW$path"
        mount --bind "$path" "$NEW$path"
    done
    mkdir -p "$NEW/image"
    bind "$TREE" "$NEW/image" ro
    printf '127.0.0.1 localhost\n' >"$NEW/etc/hosts"
    enter_tree
    umount -l /.old
    mount -t tmpfs -o mode=755 tmpfs /run
    # an overlay of podman's cannot lie on that of the tree
    mkdir -p /var/lib/containers
    mount -t tmpfs tmpfs /var/lib/containers
    install -d -o "$USER_ID" -g "$USER_ID" -m 700 "/run/user" "/run/user/$USER_ID"
    cd /
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    case $what in
    docker) run_docker "$@" ;;
    rootless) run_rootless "$@" ;;
    inside) inside_apptainer "$@" ;;
    inside-user) inside_apptainer_user "$@" ;;
    esac
}

case ${1-} in
make) make_tree ;;
docker | rootless | inside | inside-user)
    make_tree >&2
    mkdir -p "$TARGET"
    apart "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | docker CMD... | rootless CMD... | inside CMD... | inside-user CMD..." ;;
esac
