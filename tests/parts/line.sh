#!/bin/bash
# about: login to audit by hand, as an ordinary user, on the Debian image and Slurm; no secret anywhere
# commands: docker-registry skopeo mmdebstrap python3 munged slurmctld slurmd sbatch sacct slurmdbd mariadbd setpriv
# packages: docker-registry skopeo mmdebstrap debian-archive-keyring uidmap python3 munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server util-linux
# needs: root registry slurm
# minutes: 15
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"

step "build" cargo build --locked --all-features --bin moorline
for_user line
install -m 755 "${CARGO_TARGET_DIR:-$ROOT/target}/debug/moorline" "$MOORLINE_RUN/line/moorline"
install -m 600 "$MOORLINE_TEST_DEPLOY_SECRET" "$MOORLINE_RUN/line/secret"
secrets=$MOORLINE_RUN/line-secrets
(
    umask 077
    cat "$MOORLINE_TEST_DEPLOY_SECRET" >"$secrets"
    printf 'sentinel-%s-71c2\n' signing deploy token aws >>"$secrets"
)
for_user line
export MOORLINE_TEST_PROGRAM=$MOORLINE_RUN/line/moorline MOORLINE_TEST_DEPLOY_SECRET=$MOORLINE_RUN/line/secret
step "the line, as an ordinary user" \
    tests/env/as-user.sh tests/line/drive.sh "$MOORLINE_RUN/line/work"

# Everything that the run wrote and printed, and the engine's spool, state, logs and accounting. The
# registry's own folder and the store of the login hold the secret by right: the store shows that the
# search finds what is there.
home=$HOME
[ "$(id -u)" != 0 ] || home=$MOORLINE_RUN/home
store=$home/.config/moorline
if as_root python3 tests/line/search.py "$secrets" "$store" >/dev/null; then
    die "the search does not even find the secret where it is kept, in $store"
fi
step "no secret anywhere" as_root python3 tests/line/search.py "$secrets" \
    "$MOORLINE_RUN/line" "$home/.cache/moorline" "$home/.local" "$MOORLINE_RUN/slurm" \
    --except "$MOORLINE_RUN/line/secret"
