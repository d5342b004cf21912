#!/bin/bash
# about: what we write, read by squashfs-tools
# commands: unsquashfs
# packages: squashfs-tools
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_naming squashfs-tools
