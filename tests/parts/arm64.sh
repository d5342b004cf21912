#!/bin/bash
# about: another processor (64-bit ARM, cross-compiled and emulated) converts to the same bytes
# commands: debootstrap unshare ip
# packages: debootstrap debian-archive-keyring iproute2 util-linux
# needs: root
# minutes: 60
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "the tests enter a tree as root, and the caller is not root"
step "fetch the crates" cargo fetch --locked
status=0
step "the tree" tests/env/arm64-tree.sh make || status=$?
[ "$status" != "$SKIPPED" ] || skip "a compiler for arm64 cannot be installed from $(debian_mirror)"
[ "$status" = 0 ] || exit "$status"
# The dependencies are built once for each set of them; another set begins from nothing.
key=$(sha256sum Cargo.toml Cargo.lock "$CACHE/arm64-tree/.complete" | sha256sum | cut -c1-12)
target=$CACHE/arm64-target-$key
# Those of another set go when nobody used them for three days: another run may be at work in one.
as_root find "$CACHE" -maxdepth 1 -name 'arm64-target-*' ! -path "$target" -mtime +3 -exec rm -rf {} +
# those that compare bytes and run no other program
tests="a_recipe_means_these_bytes any_number_of_threads a_section_follows a_wrong_forecast_changes_nothing nothing_deleted"
log=$MOORLINE_RUN/arm64-conversions.log
# shellcheck disable=SC2086  # words
step "conversions" tests/env/arm64-tree.sh run "$target" -- cargo test --locked --offline --test images -- $tests | tee "$log"
# a filter that matches nothing proves nothing
grep -q '^test convert::trees::a_recipe_means_these_bytes \.\.\. ok$' "$log" || die "the golden bytes were not compared"
