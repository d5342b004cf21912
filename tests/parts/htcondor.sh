#!/bin/bash
# about: jobs on a real HTCondor in a tree of its own, submitted by an ordinary user
# commands: debootstrap unshare nsenter
# packages: debootstrap util-linux
# needs: root
# tests: jobs::backend_htcondor jobs::htcondor_whole jobs::htcondor_arrays
# minutes: 15
# prepares: tests/env/htcondor.sh make
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

env=$ROOT/tests/env/htcondor.sh
as_root "$env" start "$MOORLINE_RUN/htcondor"
# shellcheck disable=SC2317  # the trap calls it
end() { as_root "$env" stop "$MOORLINE_RUN/htcondor"; }
trap end EXIT
# the test programs run beside the pool: HTCondor's commands are there and not here
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
runner="$env run $MOORLINE_RUN/htcondor"
[ "$(id -u)" = 0 ] || runner="sudo -n -E -- $runner"
export "CARGO_TARGET_${host}_RUNNER=$runner"
export MOORLINE_TEST_HTCONDOR=$MOORLINE_RUN/htcondor/env
run_claimed htcondor
