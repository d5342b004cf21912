#!/bin/bash
# A real HTCondor for the tests: all daemons of a one-machine pool in a Debian tree of its own.
#
#   tests/env/htcondor.sh make             make the tree if it is missing
#   tests/env/htcondor.sh start DIR        start the pool, write DIR/env
#   tests/env/htcondor.sh run DIR CMD...   run CMD as root beside the pool, in the current directory
#   tests/env/htcondor.sh stop DIR         end it, by the process id kept in DIR
#
# Debian 12 has no HTCondor, so the tree is of trixie. The pool lives in mount, network, process and host name
# namespaces of its own with the tree as its root (pivot_root: user namespaces and the containers of jobs work
# there, in a chroot they do not). This checkout, cargo's target directory, DIR and the tests' cache are bound to
# where they are outside, so that a test program runs in there as it is. What is written elsewhere goes into an overlay and
# is gone with the pool. /tmp is its own: programs that look whether the owner of a directory there lives would
# see no process of the other side.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/htcondor-trixie
PACKAGES="minicondor procps iproute2"

make_tree() {
    [ -e "$TREE/.complete" ] && return 0
    lock htcondor
    [ ! -e "$TREE/.complete" ] || { unlock && return 0; }
    say "making a trixie tree with HTCondor in $TREE"
    as_root rm -rf "$TREE"
    mkdir -p "$CACHE"
    local log=$CACHE/htcondor-trixie.log
    # shellcheck disable=SC2086  # words
    { trixie_tree "$TREE" trixie && apt_in_tree "$TREE" update -qq &&
        apt_in_tree "$TREE" install -y -qq --no-install-recommends $PACKAGES; } >"$log" 2>&1 ||
        no_tree "$TREE" "$log" HTCondor
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root touch "$TREE/.complete"
    unlock
}

# The rest runs as root.
configure() { # ROOT
    cat >"$1/etc/condor/config.d/99-tests" <<'CONF'
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
CONDOR_HOST = 127.0.0.1
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
NUM_CPUS = 4
MEMORY = 2000
BASE_CGROUP =
MOUNT_UNDER_SCRATCH =
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
PERIODIC_EXPR_INTERVAL = 2
UPDATE_INTERVAL = 5
CLAIM_WORKLIFE = 60
DISCARD_SESSION_KEYRING_ON_STARTUP = False
CONF
}

account() { # ROOT
    local id
    id -u "$TEST_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$TEST_USER"
    id=$(id -u "$TEST_USER")
    printf '%s:x:%s:%s::/home/%s:/bin/sh\n' "$TEST_USER" "$id" "$id" "$TEST_USER" >>"$1/etc/passwd"
    printf '%s:x:%s:\n' "$TEST_USER" "$id" >>"$1/etc/group"
    mkdir -p "$1/home/$TEST_USER"
    chown "$id:$id" "$1/home/$TEST_USER"
}

# Inside the new namespaces, before the root is pivoted; never returns.
inside() {
    local dir=$1 target=$2 path
    open_tree "$TREE"
    configure "$NEW"
    account "$NEW"
    kernel_mounts
    for path in "$ROOT" "$target" "$dir" "$CACHE"; do
        mkdir -p "$NEW$path"
        mount --bind "$path" "$NEW$path"
    done
    hostname htcondor-tests
    echo '127.0.0.1 localhost htcondor-tests' >"$NEW/etc/hosts"
    enter_tree
    umount -l /.old
    mount -t tmpfs tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mkdir -p /run/lock /run/condor /var/lib/condor/{spool,execute} /var/log/condor /var/lock/condor
    chown condor:condor /run/condor /var/log/condor /var/lock/condor /var/lib/condor/{spool,execute}
    # the first process of the namespace: all others end with it
    exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 condor_master -f
}

start() {
    local dir=$1 target child
    [ "$(id -u)" = 0 ] || die "start needs root: it makes namespaces, and runs daemons as several users"
    stop "$dir"
    make_tree
    chmod 755 "$dir"
    target=$(cd "$ROOT" && cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    mkdir -p "$target"
    unshare --mount --uts --ipc --net --pid --fork --kill-child --propagation private \
        "$0" --inside "$dir" "$target" </dev/null >"$dir/log" 2>&1 &
    keep_pid "$dir/holder" $!
    disown $!
    wait_for 30 first_process "$dir" || { tail -n 20 "$dir/log" >&2; die "HTCondor did not start"; }
    child=$(cat "/proc/$(cut -d' ' -f1 "$dir/holder")/task/$(cut -d' ' -f1 "$dir/holder")/children")
    keep_pid "$dir/first" "${child%% *}"
    wait_for 90 run "$dir" sh -c 'condor_q >/dev/null 2>&1 && condor_status -af Name | grep -q .' || {
        tail -n 20 "$dir/log" >&2
        stop "$dir"
        die "HTCondor did not come up"
    }
    {
        printf "export MOORLINE_TEST_HTCONDOR='%s/env'\n" "$dir"
        printf "export MOORLINE_TEST_HTCONDOR_USER='%s'\n" "$TEST_USER"
    } >"$dir/env"
    say "$(run "$dir" condor_version | head -n 1) is up in $dir"
}

first_process() { # DIR
    local holder children
    read -r holder _ <"$1/holder"
    children=$(cat "/proc/$holder/task/$holder/children")
    [ -n "$children" ] && [ "$(cat "/proc/${children%% *}/comm")" = condor_master ]
}

run() { # DIR CMD...
    local dir=$1 first
    shift
    read -r first _ <"$dir/first"
    nsenter --target "$first" --mount --uts --ipc --net --pid --root --wd="$PWD" -- \
        /usr/bin/env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

stop() {
    # The first process of the namespace: all others end with it. It has changed its user since, and so lost
    # the signal that --kill-child would send it when its parent ends.
    stop_pid "$1/first"
    stop_pid "$1/holder"
    rm -f "$1/env"
}

case ${1-} in
make) make_tree ;;
start | stop)
    mkdir -p "$2"
    DIR=$(cd "$2" && pwd -P)
    "$1" "$DIR"
    ;;
run)
    DIR=$(cd "$2" && pwd -P)
    shift 2
    run "$DIR" "$@"
    ;;
--inside)
    shift
    inside "$@"
    ;;
*) die "usage: $0 make | start DIR | run DIR CMD... | stop DIR" ;;
esac
