#!/bin/bash
# about: what we write, read by squashfs-tools
# commands: unsquashfs
# packages: squashfs-tools
# tests: squashfs* convert*
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_claimed squashfs-tools
step "unit tests" cargo_test --lib -- layer:: squashfs:: sif::
