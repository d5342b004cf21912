#!/bin/bash
# about: login and logout with gnome-keyring in a D-Bus session of its own, with the kernel's keyring, and with neither
# commands: dbus-run-session gnome-keyring-daemon secret-tool keyctl strace
# packages: dbus gnome-keyring libsecret-tools keyutils strace
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
failed=0
# no package brings it: containers often forbid the kernel's keyring
if keyctl session - keyctl get_persistent @s >/dev/null 2>&1; then
    export MOORLINE_TESTS_REQUIRE="${MOORLINE_TESTS_REQUIRE:-},kernel-keyring"
else
    need_skipped kernel-keyring "the kernel gives no persistent keyring" || failed=1
fi
step "credentials" cargo_test --test cli -- credentials:: || failed=1
exit "$failed"
