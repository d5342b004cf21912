# shellcheck shell=bash
# What the test scripts share; sourced by tests/run, tests/parts/*.sh and tests/env/*.sh.

# Where the checkout is, whoever sources this.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Trees, images and tools that are costly to make, kept between runs and outside the checkout.
CACHE=${MOORLINE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moorline-tests}
# The ordinary user for whom root runs things (an ordinary caller is that user already).
TEST_USER=${MOORLINE_TEST_USER:-moorline-test}
# Exit status of a part that was skipped, as automake has it.
SKIPPED=77

say() { printf '%s\n' "$*"; }
die() {
    printf 'tests: %s\n' "$*" >&2
    exit 1
}
# A part cannot be run here: says why and leaves the part.
skip() {
    printf 'SKIPPED: %s: %s\n' "$(basename "$0" .sh)" "$*" >&2
    exit "$SKIPPED"
}
have() { command -v "$1" >/dev/null 2>&1; }

# as_root CMD...: as root, through sudo where the caller is not root.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}
can_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# A TCP port on loopback that was free a moment ago.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS CMD...: polls until CMD succeeds; fails at the deadline.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# stop_pid FILE: ends the process whose id FILE keeps, if it still is the one that was started.
stop_pid() {
    local pid started
    [ -s "$1" ] || return 0
    read -r pid started <"$1"
    rm -f "$1"
    [ "$(pid_started "$pid")" = "$started" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    wait_for 10 pid_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}
pid_gone() { ! kill -0 "$1" 2>/dev/null; }
# The start time of a process in clock ticks since boot: an id alone may have been given to another.
pid_started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
# keep_pid FILE PID: keeps PID for stop_pid.
keep_pid() { printf '%s %s\n' "$2" "$(pid_started "$2")" >"$1"; }
