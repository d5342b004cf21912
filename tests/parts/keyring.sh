#!/bin/bash
# about: login and logout with gnome-keyring in a D-Bus session of its own, and with the kernel's keyring
# commands: dbus-run-session gnome-keyring-daemon secret-tool keyctl
# packages: dbus gnome-keyring libsecret-tools keyutils
# minutes: 10
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_naming keyring
