#!/bin/bash
# about: cargo run --release -- demo, as root and as an ordinary user, in isolation
# minutes: 20
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
step "build" cargo build --locked --release
step "demo as $(id -un)" cargo run --locked --release -- demo --require-isolation
if [ "$(id -u)" = 0 ]; then
    step "demo as $TEST_USER" tests/env/as-user.sh "${CARGO_TARGET_DIR:-$ROOT/target}/release/moorline" demo --require-isolation
fi
