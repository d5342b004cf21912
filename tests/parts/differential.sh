#!/bin/bash
# about: generated layers through our reader, GNU tar, bsdtar and umoci: the same tree, or refused
# commands: tar bsdtar umoci
# packages: tar libarchive-tools umoci
# needs: root
# tests: differential*
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "devices and owners need root, and the caller is not root"
# the counts are worth reading when it passes, too
step "differential" cargo_test --test differential -- --nocapture
