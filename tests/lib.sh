# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
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

# The Debian mirror that this machine uses, and the suite that the trees are made from.
DEBIAN_SUITE=bookworm
debian_mirror() {
    local found
    found=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    [ -n "$found" ] || found=$(awk '$1 == "deb" && $2 ~ /^http/ {print $2; exit}' /etc/apt/sources.list 2>/dev/null || true)
    printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

# lock NAME: waits until no other run makes this thing of the cache; unlock lets it in.
lock() {
    mkdir -p "$CACHE"
    exec {CACHE_LOCK}>"$CACHE/.$1.lock"
    flock "$CACHE_LOCK"
}
unlock() { exec {CACHE_LOCK}>&-; }

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

# note_skipped STEP WHY: a step of a part cannot be run here; tests/run counts these lines.
note_skipped() { printf 'SKIPPED: %s: %s\n' "$1" "$2" >&2; }
# need_skipped STEP WHY: the same, but a failure where everything is required.
need_skipped() {
    note_skipped "$@"
    [ -z "${MOORLINE_REQUIRE_ALL:-}" ]
}

# step TITLE CMD...: runs a step of a part and names it in the log.
step() {
    say "== $1"
    shift
    "$@"
}

# cargo_test ARGS...: cargo test that fails when no test ran: a filter that matches nothing proves nothing. It has
# all features, as has every other debug build here, so that one build serves them all.
cargo_test() {
    local out status=0
    out=$(mktemp "$MOORLINE_RUN/cargo-test.XXXXXX")
    cargo test --locked --all-features --no-fail-fast "$@" >"$out" 2>&1 || status=$?
    cat "$out"
    [ "$status" = 0 ] || return "$status"
    awk '/^test result:/ {n += $4} END {exit n == 0}' "$out" || {
        say "no test ran: cargo test $*"
        return 1
    }
}

# claimed [PART]: what this part (or every part) claims in its head: PROGRAM or PROGRAM::MODULE, a line each.
claimed() {
    local part
    for part in "$ROOT"/tests/parts/${1:-*}.sh; do
        header "$(basename "$part" .sh)" tests | tr ' ' '\n'
    done | grep . | sort -u
}

# programs: the test programs, tests/NAME/main.rs.
programs() {
    local file
    for file in "$ROOT"/tests/*/main.rs; do basename "$(dirname "$file")"; done
}

# for_user NAME: a folder of the run that belongs to the ordinary user.
for_user() {
    mkdir -p "$MOORLINE_RUN/$1"
    if [ "$(id -u)" = 0 ]; then
        id -u "$TEST_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$TEST_USER"
        chown -R "$TEST_USER:" "$MOORLINE_RUN/$1"
    fi
}

# header PART FIELD: the words of a `# FIELD: words` line at the head of tests/parts/PART.sh.
header() { sed -n "s/^# $2: *//p" "$ROOT/tests/parts/$1.sh" | head -n 1; }

# run_program PROGRAM FILTER...: the tests of a program that match a filter, without those that another part claims.
run_program() {
    local program=$1 claim skips=()
    shift
    while read -r claim; do
        case $claim in
        "$program") [ "$#" -gt 0 ] || return 0 ;;
        "$program"::*) skips+=(--skip "${claim#*::}::") ;;
        esac
    done < <(claimed)
    step "$program $*" cargo_test --test "$program" -- "$@" "${skips[@]}"
}

# run_claimed PART: the integration tests that a part claims in its head.
run_claimed() {
    local program claim filters
    for program in $(programs); do
        filters=()
        while read -r claim; do
            case $claim in
            "$program") filters+=('') ;;
            "$program"::*) filters+=("${claim#*::}::") ;;
            esac
        done < <(claimed "$1")
        [ "${#filters[@]}" = 0 ] || step "$program ${filters[*]}" cargo_test --test "$program" -- "${filters[@]}"
    done
}

# run_naming PART: the tests of the modules that name a part, as they must to fail where it is required. A
# module that all of a program's tests may use stands for the whole program.
run_naming() {
    if [ -e "$MOORLINE_RUN/checked" ]; then
        say "== the tests that name $1 ran in the part check, where they had to"
        return 0
    fi
    local file name program modules=() seen=() filters
    while read -r file; do
        name=${file#"$ROOT"/}
        case $name in
        tests/support/*) die "$name names $1: which tests are meant?" ;;
        tests/*)
            name=${name#tests/}
            name=${name%.rs}
            name=${name%/mod}
            seen+=("${name//\//::}")
            ;;
        src/*)
            name=${name#src/}
            name=${name%.rs}
            name=${name%/mod}
            modules+=("${name//\//::}::")
            ;;
        esac
    done < <(grep -rlF --include='*.rs' "\"$1\"" "$ROOT/src" "$ROOT/tests" | sort)
    [ "$((${#modules[@]} + ${#seen[@]}))" -gt 0 ] || die "no test names \"$1\""
    [ "${#modules[@]}" = 0 ] || step "unit tests: ${modules[*]}" cargo_test --lib -- "${modules[@]}"
    for program in $(programs); do
        filters=()
        for name in "${seen[@]}"; do
            case $name in
            "$program"::*)
                name=${name#*::}
                if grep -qE '#\[(tokio::)?test' "$ROOT/tests/$program/${name//:://}".rs "$ROOT/tests/$program/${name//:://}/mod.rs" 2>/dev/null; then
                    filters+=("${name%%::*}::")
                else
                    filters=('')
                    break
                fi
                ;;
            esac
        done
        [ "${#filters[@]}" = 0 ] || run_program "$program" "${filters[@]}"
    done
}

# test_programs: the compiled unit and integration tests, one path a line.
test_programs() {
    cargo test --locked --all-features --lib --bins --tests --no-run --message-format=json 2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["executable"])'
}
