#!/bin/bash
# about: jobs on a real Slurm, submitted by an ordinary user
# commands: munged slurmctld slurmd sbatch sacct slurmdbd mariadbd python3
# packages: munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server python3
# needs: root slurm
# tests: jobs::backend_slurm jobs::slurm_away jobs::slurm_arrays
# minutes: 25
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_claimed slurm
cd "$ROOT"
cargo build --locked --all-features
# the same on a second cluster that finds a job's processes in another way
other=$MOORLINE_RUN/slurm-linuxproc
trap 'as_root tests/env/slurm.sh stop "$other"' EXIT
step "a second cluster" as_root env MOORLINE_SLURM_PROCTRACK=linuxproc tests/env/slurm.sh start "$other"
step "signals, proctrack/pgid" python3 tests/slurm/signals.py target/debug/moorline "$MOORLINE_TEST_SLURM" pgid
step "signals, proctrack/linuxproc" python3 tests/slurm/signals.py target/debug/moorline "$other/env" linuxproc
