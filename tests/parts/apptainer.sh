#!/bin/bash
# about: real apptainer (Debian sid) runs and inspects our SIFs, and its own conversion beside ours
# commands: debootstrap unshare ip unsquashfs mmdebstrap python3 setpriv docker-registry
# packages: debootstrap debian-archive-keyring iproute2 util-linux squashfs-tools mmdebstrap uidmap python3 docker-registry keyutils
# needs: root
# provides: docker-registry
# tests: images::apptainer
# minutes: 20
# prepares: tests/env/apptainer.sh make
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "the tests enter apptainer's tree as root, and the caller is not root"
status=0
step "the tree" tests/env/apptainer.sh make || status=$?
[ "$status" != "$SKIPPED" ] || skip "apptainer cannot be installed from $(debian_mirror)"
[ "$status" = 0 ] || exit "$status"
run_claimed apptainer
