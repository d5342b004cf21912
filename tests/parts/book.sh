#!/bin/bash
# about: the book in docs/, built by mdbook without a warning, and every page of it there
# packages: ca-certificates
# minutes: 20
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
MDBOOK=0.5.4

# Debian 12 has no mdbook, and to compile it takes minutes. So the links, headings, the summary and the console
# blocks are tests of their own (tests/rules/book.rs, tests/cli/book.rs) that need nothing, and this part runs by name.
# One that is in PATH is taken; else it is built once, into the cache.
mdbook() {
    if command -v mdbook >/dev/null; then
        command mdbook "$@"
        return
    fi
    lock tools
    [ "$("$CACHE/tools/bin/mdbook" --version 2>/dev/null)" = "mdbook v$MDBOOK" ] ||
        cargo install --quiet --locked --version "$MDBOOK" --root "$CACHE/tools" --target-dir "$CACHE/tools/build" mdbook
    rm -rf "$CACHE/tools/build"
    unlock
    "$CACHE/tools/bin/mdbook" "$@"
}
out=$MOORLINE_RUN/book
step "mdbook build" mdbook build docs --dest-dir "$out" 2>&1 | tee "$MOORLINE_RUN/mdbook.log"
! grep -E 'WARN|ERROR' "$MOORLINE_RUN/mdbook.log" || die "mdbook warns"
pages=0
while read -r page; do
    [ -s "$out/${page%.md}.html" ] || die "docs/$page is not in the book"
    pages=$((pages + 1))
done < <(grep -o '([a-z0-9/-]*\.md)' docs/SUMMARY.md | tr -d '()')
[ "$pages" -gt 20 ] || die "only $pages pages are in the summary"
say "$pages pages"
