#!/bin/bash
# about: the demo's job in podman, where Moorline itself cannot isolate one
# commands: podman runc
# packages: podman runc
# needs: root
# minutes: 5
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "rootful podman only, and the caller is not root"
podman --runtime runc info >/dev/null 2>&1 || skip "podman info fails here"
step "the demo's job in podman" cargo test --locked --all-features --lib demo::containers::
