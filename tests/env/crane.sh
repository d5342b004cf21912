#!/bin/bash
# crane, of Debian sid: no release has it yet. Beside the machine's packages, which stay as they are.
#
#   tests/env/crane.sh      fetches it once and prints the folder that holds it, for PATH
#
# Exit status 77: there is no mirror, or what it has does not run here.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

DIR=$CACHE/crane
give_up() {
    printf 'crane cannot be had from %s: %s\n' "$(debian_mirror)" "$1" >&2
    exit "$SKIPPED"
}

if [ ! -x "$DIR/usr/bin/crane" ]; then
    lock crane
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    mkdir -p "$new/state/lists/partial" "$new/cache/archives/partial" "$new/tree"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s sid main\n' "$(debian_mirror)" >"$new/sources.list"
    # lists of its own; as the caller, who may not be root
    apt() {
        apt-get -qq -o Dir::State="$new/state" -o Dir::State::status=/dev/null -o Dir::Cache="$new/cache" \
            -o Dir::Etc::SourceList="$new/sources.list" -o Dir::Etc::SourceParts=/dev/null \
            -o APT::Sandbox::User="$(id -un)" "$@" </dev/null >>"$new/log" 2>&1
    }
    apt update || give_up "$(tail -n 1 "$new/log")"
    (cd "$new" && apt download crane) || give_up "$(tail -n 1 "$new/log")"
    dpkg-deb -x "$new"/crane_*.deb "$new/tree" || give_up "its package cannot be unpacked"
    "$new/tree/usr/bin/crane" version >/dev/null 2>&1 || give_up "it does not run here"
    rm -rf "$DIR"
    mv "$new/tree" "$DIR"
    unlock
fi
printf '%s\n' "$DIR/usr/bin"
