#!/bin/bash
# about: ci-templates/, templates/ and examples/ci in gitlab-ci-local: buildah, the registry, Slurm, as an ordinary user
# commands: docker-registry skopeo buildah mmdebstrap python3 munged slurmctld slurmd sbatch salloc sacct slurmdbd mariadbd rsync git curl
# packages: docker-registry skopeo buildah mmdebstrap debian-archive-keyring uidmap python3 python3-venv munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server rsync git curl
# needs: root registry slurm
# minutes: 25
# prepares: tests/env/gitlab-ci-local.sh
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
step "the components are those of ci-templates/" ci-templates/components.py --check
step "gitlab-ci-local" tests/env/gitlab-ci-local.sh

# Slurm's node sees neither root's home nor this checkout: what it needs is where everybody may enter.
step "build" cargo build --locked --all-features --bin moorline
bin=$MOORLINE_RUN/bin
mkdir -p "$bin" "$MOORLINE_RUN/template/home"
install -m 755 "${CARGO_TARGET_DIR:-$ROOT/target}/debug/moorline" "$bin/moorline"
install -m 600 "$MOORLINE_TEST_JOB_TOKEN" "$MOORLINE_RUN/template/job-token"
install -m 600 "$MOORLINE_TEST_API_TOKEN" "$MOORLINE_RUN/template/api-token"
# The home is fresh, so that the job token is the only credential.
for_user template

export MOORLINE_TEST_PROGRAM=$bin/moorline MOORLINE_TEST_JOB_TOKEN=$MOORLINE_RUN/template/job-token
export MOORLINE_TEST_API_TOKEN=$MOORLINE_RUN/template/api-token
project=$MOORLINE_RUN/template/project
# drive CASE [ARG]: as the ordinary user, with that home
drive() {
    local case=$1
    shift
    tests/env/as-user.sh env HOME="$MOORLINE_RUN/template/home" tests/template/drive.sh "$case" "$project" "$@"
}
step "the project" drive make
step "every file, rendered" drive schema
step "GitLab's schema" "$CACHE/ci-schema/bin/check-jsonschema" --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci "$project"/rendered/*.yml
step "build to audit" drive chain
step "the same on a branch that is not protected" drive ordinary
for case in quoting failing detached array denied unprotected program hostile noted merged own; do step "$case" drive "$case"; done
step "ended by TERM" drive cancelled TERM
step "killed, so that only after_script is left" drive cancelled KILL
in_allocation() {
    tests/env/as-user.sh env HOME="$MOORLINE_RUN/template/home" \
        salloc --quiet --ntasks=1 --time=10 tests/template/drive.sh run_mode "$project"
}
step "mode: run inside an allocation" in_allocation
step "the token is in nothing that was written" drive secrets
