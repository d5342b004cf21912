#!/bin/bash
# about: the demo of the release build, as root and as an ordinary user, in isolation
# commands: python3
# packages: python3
# minutes: 20
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
# minimal-tree did `cargo run --release -- demo` as the README has it. Its program serves here, too: one release build.
if [ -s "$MOORLINE_RUN/release-program" ] && program=$(cat "$MOORLINE_RUN/release-program") && "$program" --version; then
    say "the program that minimal-tree built"
else
    program=${CARGO_TARGET_DIR:-$ROOT/target}/release/moorline
    step "build" cargo build --locked --release
fi
step "demo as $(id -un)" "$program" demo --require-isolation
step "the picture of it in the README" tests/env/demo-picture.py --check "$program" docs/demo.svg
if [ "$(id -u)" = 0 ]; then
    step "demo as $TEST_USER" tests/env/as-user.sh "$program" demo --require-isolation
fi
