#!/bin/bash
# about: what we write, mounted by the kernel
# commands: mount losetup
# packages: mount
# needs: root
# tests: kernel_mount*
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_claimed kernel-mount
