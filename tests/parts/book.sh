#!/bin/bash
# about: the book in docs/, built by mdbook (Debian sid) without a warning, and every page of it there
# commands: debootstrap unshare ip
# packages: debootstrap debian-archive-keyring iproute2 util-linux
# needs: root
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"

# The links, headings, the summary and the console blocks are tests of their own (tests/rules/book.rs,
# tests/cli/book.rs) that need nothing.
status=0
step "the tree" tests/env/mdbook.sh make || status=$?
[ "$status" != "$SKIPPED" ] || skip "mdbook cannot be installed from $(debian_mirror)"
[ "$status" = 0 ] || exit "$status"
work=$MOORLINE_RUN/book
mkdir "$work"
cp -r docs "$work/docs"
tests/env/mdbook.sh run "$work" --version

# builds DIR: builds the book there; fails when mdbook warns. Its words are in DIR/log.
builds() {
    tests/env/mdbook.sh run "$work" build "$1" --dest-dir "/work/made/$1" >"$work/$1/log" 2>&1 &&
        ! grep -E 'WARN|ERROR' "$work/$1/log"
}
step "mdbook build" builds docs || {
    cat "$work/docs/log"
    die "mdbook warns, or fails"
}
pages=0
while read -r page; do
    [ -s "$work/made/docs/${page%.md}.html" ] || die "docs/$page is not in the book"
    pages=$((pages + 1))
done < <(grep -o '([a-z0-9/-]*\.md)' docs/SUMMARY.md | tr -d '()')
[ "$pages" -gt 20 ] || die "only $pages pages are in the summary"
say "$pages pages"

# that what is looked for can be seen
cp -r docs "$work/broken"
printf '\n<div>\n\n# A heading\n\nnever closed <b>\n' >>"$work/broken/glossary.md"
! step "a page that is not right" builds broken >/dev/null || die "mdbook does not warn of HTML that is not closed"
