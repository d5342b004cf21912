#!/bin/bash
# about: SIGKILL and four errors injected into 500 writing system calls of convert, prune, run, submit and recover
# commands: strace
# packages: strace
# provides: strace
# tests: cli::sweep
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
export MOORLINE_SWEEP_POINTS=${MOORLINE_SWEEP_POINTS:-500}
run_claimed sweep
