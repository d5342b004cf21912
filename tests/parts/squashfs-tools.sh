#!/bin/bash
# about: what we write, read by squashfs-tools; what they, tar2sqfs, GNU tar and bsdtar write, read by us
# commands: unsquashfs tar2sqfs
# packages: squashfs-tools squashfs-tools-ng tar libarchive-tools
# provides: gnu-tar
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_naming squashfs-tools
