#!/bin/bash
# about: the worker's tests once more, as on a kernel without the newer calls for mounts
# needs: root
# commands: python3 setpriv mksquashfs
# packages: python3 util-linux squashfs-tools squashfuse fuse3
# minutes: 25
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
cargo test --locked --all-features --test execute --no-run
program=$(cargo test --locked --all-features --test execute --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/execute-[0-9a-f]*\)".*/\1/p' | tail -n 1)
[ -n "$program" ] || die "the worker's test program was not built"
# the whole suite once more among other people's mounts is the soak's: it takes two minutes
skip=()
[ -n "${MOORLINE_SOAK:-}" ] || skip=(--skip the_suite_runs_among_other_peoples_mounts)
step "openat2, mount_setattr, open_tree, statx: ENOSYS" as_root tests/env/old-kernel.py "$program" "${skip[@]}"
