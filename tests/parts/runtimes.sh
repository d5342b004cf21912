#!/bin/bash
# about: charliecloud and udocker (P1 by proot, R1 by runc, F1 and F2 by Debian's fakechroot) run jobs, as root and as an ordinary user; udocker also where jobs bring it
# commands: ch-run proot runc busybox setpriv python3 patchelf
# packages: charliecloud proot runc libfakechroot patchelf busybox-static util-linux squashfs-tools python3 python3-pip
# needs: root
# minutes: 5
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/udocker.sh
. "$(dirname "$0")/../env/udocker.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "an ordinary user is tried as well, and only root becomes one"

# its engines are Debian's
UDOCKER=$(mktemp -d /tmp/moorline-udocker.XXXXXX)
trap 'rm -rf "$UDOCKER"' EXIT
if udocker_into "$UDOCKER"; then
    export MOORLINE_TEST_UDOCKER=$UDOCKER/bin
    MOORLINE_TEST_UDOCKER_PACKAGE=$(echo "$UDOCKER"/package/udocker-*)
    export MOORLINE_TEST_UDOCKER_PACKAGE
    export MOORLINE_TESTS_REQUIRE=charliecloud,udocker,fakechroot
else
    need_skipped udocker "pip cannot install it: $(tail -n 1 "$MOORLINE_RUN/udocker.log")"
    export MOORLINE_TESTS_REQUIRE=charliecloud
fi
step "charliecloud and udocker" cargo_test --test execute -- runtimes:: added::
step "udocker that was added, on the command line" cargo_test --test cli -- runtime::
