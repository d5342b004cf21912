#!/bin/bash
# about: generated layers, and whole images, through our conversion and GNU tar, bsdtar, umoci: the same trees
# commands: tar bsdtar umoci unsquashfs mmdebstrap python3
# packages: tar libarchive-tools umoci squashfs-tools mount mmdebstrap debian-archive-keyring uidmap python3
# needs: root
# tests: differential*
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "devices and owners need root, and the caller is not root"
# the counts are worth reading when it passes, too
step "generated layers" cargo_test --test differential -- --nocapture
step "whole images" cargo_test --test differential_images
