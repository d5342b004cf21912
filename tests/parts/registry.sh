#!/bin/bash
# about: Debian's docker-registry behind the stand-in for GitLab, with a Debian image that skopeo pushed
# commands: docker-registry skopeo mmdebstrap python3 tinyproxy
# packages: docker-registry skopeo tinyproxy mmdebstrap debian-archive-keyring uidmap python3
# needs: registry
# provides: docker-registry debian-rootfs tinyproxy
# tests: registry
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_claimed registry
