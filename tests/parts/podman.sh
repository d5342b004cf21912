#!/bin/bash
# about: real podman and docker run jobs, as root and as an ordinary user; the demo's job in podman
# commands: podman runc dockerd docker containerd setpriv newuidmap python3
# packages: podman runc catatonit uidmap fuse-overlayfs slirp4netns docker.io tini iptables util-linux python3 squashfs-tools
# needs: root
# tests: execute::runtimes jobs::podman
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "the engines are started as root, and the caller is not root"
podman --runtime runc info >/dev/null 2>&1 || skip "podman info fails here"

# A daemon of our own: its sockets, images and ids are below the run's folder. A docker context leads to it,
# because jobs drop an inherited DOCKER_HOST.
DAEMON=$(mktemp -d /tmp/moorline-docker.XXXXXX)
cleanup() {
    stop_pid "$DAEMON/pid"
    # what overlay2 left mounted
    awk -v below="$DAEMON/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l || true
    rm -rf "$DAEMON"
}
trap cleanup EXIT
dockerd --data-root "$DAEMON/data" --exec-root "$DAEMON/exec" --pidfile "$DAEMON/dockerd.pid" -H "unix://$DAEMON/socket" \
    --iptables=false --ip6tables=false --bridge=none >"$MOORLINE_RUN/dockerd.log" 2>&1 &
keep_pid "$DAEMON/pid" $!
if wait_for 60 docker -H "unix://$DAEMON/socket" info; then
    mkdir -p "$DAEMON/home"
    HOME=$DAEMON/home docker context create moorline --docker "host=unix://$DAEMON/socket" >/dev/null
    HOME=$DAEMON/home docker context use moorline >/dev/null
    export MOORLINE_TEST_DOCKER_HOME=$DAEMON/home
else
    need_skipped docker "dockerd does not start here: $(tail -n 1 "$MOORLINE_RUN/dockerd.log")"
fi
step "the demo's job in podman" cargo test --locked --all-features --lib demo::containers::
run_claimed podman

# The same as an ordinary user, who has subordinate ids: podman without root.
user=$("$ROOT/tests/env/as-user.sh" id -un | tail -n 1)
if grep -q "^$user:" /etc/subuid && grep -q "^$user:" /etc/subgid; then
    unset MOORLINE_TEST_DOCKER_HOME
    mapfile -t programs < <(test_programs)
    for program in "${programs[@]}"; do
        case $(basename "$program") in
        execute-*) step "podman without root" "$ROOT/tests/env/as-user.sh" "$program" runtimes:: ;;
        esac
    done
else
    need_skipped "podman without root" "$user has no subordinate ids"
fi
