#!/bin/bash
# about: what we write, read by squashfs-tools; what GNU tar and bsdtar write, read by us
# commands: unsquashfs
# packages: squashfs-tools tar libarchive-tools
# provides: gnu-tar
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_naming squashfs-tools
