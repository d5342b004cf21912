#!/bin/bash
# about: jobs on a real Slurm, submitted by an ordinary user
# commands: munged slurmctld slurmd sbatch sacct slurmdbd mariadbd
# packages: munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server
# needs: root slurm
# tests: jobs::backend_slurm jobs::slurm_away
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
run_claimed slurm
