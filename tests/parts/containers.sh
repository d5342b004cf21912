#!/bin/bash
# about: docker 28 and podman 5 (Debian sid): containerd's store, docker without root; every runtime inside apptainer
# commands: debootstrap unshare ip setpriv mksquashfs python3
# packages: debootstrap debian-archive-keyring iproute2 util-linux squashfs-tools python3 python3-pip
# needs: root
# minutes: 12
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/udocker.sh
. "$(dirname "$0")/../env/udocker.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "the daemons and containers are started as root, and the caller is not root"
env=$ROOT/tests/env/containers.sh
status=0
step "the tree" "$env" make || status=$?
[ "$status" != "$SKIPPED" ] || skip "the engines cannot be installed from $(debian_mirror)"
[ "$status" = 0 ] || exit "$status"

program=$(test_programs | grep '/execute-')
export MOORLINE_TESTS_REQUIRE=docker,podman,squashfs-tools
export MOORLINE_TEST_RUNTIMES=docker,podman
failed=0
step "docker with containerd's store, and podman, of root" "$env" docker "$program" runtimes:: || failed=1
step "docker and podman without root" "$env" rootless "$program" runtimes:: || failed=1

# proot 5.4 of the tree starts programs of its C library, which that of Debian 12 does not
udocker=$MOORLINE_RUN/udocker
if udocker_into "$udocker"; then
    export MOORLINE_TEST_UDOCKER=$udocker/bin
else
    need_skipped udocker "pip cannot install it: $(tail -n 1 "$MOORLINE_RUN/udocker.log")" || failed=1
fi
export MOORLINE_TESTS_REQUIRE=inside,squashfs-tools
step "inside a container of root without capabilities" "$env" inside "$program" runtimes::inside || failed=1
step "inside a pilot's container" "$env" inside-user "$program" runtimes::inside || failed=1
exit "$failed"
