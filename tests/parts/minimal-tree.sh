#!/bin/bash
# about: cargo run --release -- demo, built and run in a Debian tree with a C compiler and nothing else, without a network
# commands: debootstrap unshare ip
# packages: debootstrap debian-archive-keyring iproute2 util-linux
# needs: root
# minutes: 25
# prepares: tests/env/minimal-tree.sh make
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
step "fetch the crates" cargo fetch --locked
# The dependencies are built once for each set of them; another set begins from nothing.
key=$(cat Cargo.toml Cargo.lock <(rustc -vV) | sha256sum | cut -c1-12)
target=$CACHE/minimal-target-$key
# Those of another set go when nobody used them for three days: another run may be at work in one.
as_root find "$CACHE" -maxdepth 1 -name 'minimal-target-*' ! -path "$target" -mtime +3 -exec rm -rf {} +
step "the tree" tests/env/minimal-tree.sh make
step "build" tests/env/minimal-tree.sh run "$target" -- cargo build --release --locked --offline
step "demo" tests/env/minimal-tree.sh run "$target" -- cargo run --release --locked --offline -- demo --require-isolation
# for the part demo
printf '%s\n' "$target/release/moorline" >"$MOORLINE_RUN/release-program"
