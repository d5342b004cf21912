#!/bin/bash
# about: generated layers, and whole images, through our conversion and GNU tar, bsdtar, umoci: the same trees
# commands: tar bsdtar umoci skopeo xz bzip2 unsquashfs mmdebstrap python3
# packages: tar libarchive-tools umoci skopeo xz-utils bzip2 squashfs-tools mount mmdebstrap debian-archive-keyring uidmap python3
# needs: root
# tests: images::differential
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "devices and owners need root, and the caller is not root"
# the counts are worth reading when it passes, too
step "generated layers, whole images" cargo_test --test images -- differential:: --nocapture
step "layers of the field, archives of other tools" cargo_test --test images -- convert::field:: archives::what_other_tools_write
