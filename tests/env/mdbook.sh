#!/bin/bash
# mdbook of Debian sid, which Debian 12 does not have, in the tree of apptainer.sh.
#
#   tests/env/mdbook.sh make             make the tree, with mdbook, if it is missing
#   tests/env/mdbook.sh run WORK ARGS... run mdbook in it, with the directory WORK as its current one
#
# Exit status 77: there is no mirror, or it has no mdbook.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/tree.sh
. "$(dirname "$0")/tree.sh"

TREE=$CACHE/apptainer-tree
LOG=$CACHE/mdbook-tree.log

make_tree() {
    "$ROOT/tests/env/apptainer.sh" make || return
    [ ! -e "$TREE/.mdbook" ] || return 0
    lock apptainer-tree
    [ ! -e "$TREE/.mdbook" ] || { unlock && return 0; }
    say "adding mdbook to the tree in $TREE"
    { apt_in_tree "$TREE" -qq update && apt_in_tree "$TREE" -qq install -y mdbook; } >"$LOG" 2>&1 || {
        tail -n 5 "$LOG" >&2
        printf 'mdbook cannot be installed from %s\n' "$(debian_mirror)" >&2
        exit "$SKIPPED"
    }
    as_root rm -rf "$TREE/var/cache/apt/archives" "$TREE/var/lib/apt/lists"
    as_root touch "$TREE/.mdbook"
    unlock
}

case ${1-} in
make) make_tree ;;
run)
    work=$2
    shift 2
    make_tree >&2
    "$ROOT/tests/env/apptainer.sh" run "$work" -- mdbook "$@"
    ;;
*) die "usage: $0 make | run WORK ARGS..." ;;
esac
