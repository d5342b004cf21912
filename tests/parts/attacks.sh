#!/bin/bash
# about: the attacks of docs/threat-model.md against the built program
# commands: python3 setpriv
# packages: python3 util-linux squashfs-tools squashfuse fuse3 gcc libc6-dev keyutils acl procps krb5-kdc krb5-admin-server krb5-user
# minutes: 20
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
# makes the ordinary user, as whom most of them run
for_user attacks
cargo build --locked --all-features
step "attacks" tests/attacks/run "$ROOT/target/debug/moorline"
