#!/bin/bash
# about: format, clippy, licences and advisories, shellcheck, and the tests that need no server
# packages: shellcheck dash git ca-certificates
# provides: dash
# minutes: 40
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
DENY=0.20.2
# Every step is run, so that one look shows all that is wrong.
failed=0
try() { step "$@" || failed=1; }

try "cargo fmt" cargo fmt --all --check
try "clippy" cargo clippy --locked --all-targets --all-features -- -D warnings

if have shellcheck; then
    # Goldens are made by programs, and tests check them. What stands in src/ are pieces: which
    # shell, what is sourced and what is set before is said where they are put together.
    mapfile -t scripts < <(git ls-files -- 'tests/*.sh' packaging/dist packaging/publish packaging/ci-setup 'packaging/deb/*' '.ci/*.sh' tests/run tests/attacks/run .ci/run tests/template/moorline 2>/dev/null | grep -v /golden/)
    [ "${#scripts[@]}" -gt 5 ] || mapfile -t scripts < <(find tests .ci -name golden -prune -o \( -name '*.sh' -o -path '*/run' \) -type f -print)
    mapfile -t pieces < <(find src -name '*.sh')
    try "shellcheck of ${#pieces[@]} pieces of scripts" shellcheck --shell=sh --exclude=SC1090,SC2154 "${pieces[@]}"
    try "shellcheck of ${#scripts[@]} scripts" shellcheck -x "${scripts[@]}"
else
    need_skipped shellcheck "shellcheck is not installed" || failed=1
fi

# cargo-deny is built once, into the cache.
deny() {
    lock tools
    [ "$("$CACHE/tools/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $DENY" ] ||
        cargo install --quiet --locked --version "$DENY" --root "$CACHE/tools" --target-dir "$CACHE/tools/build" cargo-deny
    rm -rf "$CACHE/tools/build"
    unlock
    cargo deny --locked --log-level error "$@"
}
try "cargo deny: bans, licences, sources" deny check bans licenses sources
if deny fetch db >"$MOORLINE_RUN/advisories.log" 2>&1; then
    try "cargo deny: advisories" deny check advisories
else
    # a machine without the way to the advisory database is not a broken tree
    note_skipped advisories "the advisory database cannot be fetched: $(grep . "$MOORLINE_RUN/advisories.log" | tail -n 1 | cut -c1-160)"
fi

# Every test program that no other part claims, so that none is ever left out.
try "unit tests" cargo_test --lib --bins --examples
for program in $(programs); do
    try "$program" run_program "$program"
done
try "documentation tests" cargo test --locked --all-features --doc
[ "$failed" != 0 ] || : >"$MOORLINE_RUN/checked"
exit "$failed"
