#!/bin/bash
# about: what we write, mounted by the kernel
# commands: mount losetup
# packages: mount
# needs: root
# provides: loop
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_naming kernel-mount
