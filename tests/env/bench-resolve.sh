#!/bin/bash
# `just bench-resolve`: Debian's docker-registry with tokens, and benches/resolve against it.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
for program in docker-registry skopeo python3; do
    have "$program" || die "$program is missing: Debian's docker-registry, skopeo, python3, and mmdebstrap for the image"
done
if crane=$("$HERE/crane.sh"); then PATH=$crane:$PATH; else say "crane is left out"; fi
DIR=$(mktemp -d)
trap '"$HERE/registry.sh" stop "$DIR"; rm -rf "$DIR"' EXIT
# its log of each request would cost more than the request
MOORLINE_TEST_REGISTRY_QUIET=true "$HERE/registry.sh" start "$DIR"
# shellcheck source=/dev/null
. "$DIR/env"
cd "$ROOT"
cargo bench --locked --bench resolve -- "$@"
