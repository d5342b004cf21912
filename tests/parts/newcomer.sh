#!/bin/bash
# about: docs/tutorial.md and docs/ci.md, done as they are written: a pinned job in a minimal tree, and a green pipeline
# commands: docker-registry skopeo buildah mmdebstrap debootstrap python3 munged slurmctld slurmd sbatch slurmdbd mariadbd rsync git strip
# packages: docker-registry skopeo buildah mmdebstrap debootstrap debian-archive-keyring uidmap python3 python3-venv munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server rsync git binutils
# needs: root registry slurm
# minutes: 20
# prepares: tests/env/newcomer-tree.sh make
#
# MOORLINE_TEST_WHEEL names the release's wheel; without it the program of this checkout is put into one.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
# an address of loopback that nobody else listens on, so that the page's name needs no port
ADDRESS=127.77.0.1
TUTORIAL=${MOORLINE_TEST_TUTORIAL:-docs/tutorial.md}

given=$MOORLINE_RUN/newcomer
mkdir -p "$given/wheels" "$given/etc/moorline" "$given/ci/home"
if [ -n "${MOORLINE_TEST_WHEEL:-}" ]; then
    cp "$MOORLINE_TEST_WHEEL" "$given/wheels/"
else
    step "build" cargo build --locked --all-features --bin moorline
    strip -o "$given/moorline" "${CARGO_TARGET_DIR:-$ROOT/target}/debug/moorline"
    step "a wheel" tests/newcomer/wheel.py "$given/moorline" "$("$given/moorline" --version | cut -d' ' -f2)" "$given/wheels"
    rm "$given/moorline"
fi

# What a site gives its users: the name of the registry. That it needs no TLS is the test's. Where its tokens come from
# nobody has configured: the page's own command must say it.
printf '127.0.0.1 localhost\n%s gitlab-registry.example\n' "$ADDRESS" >"$given/etc/hosts"
server=${MOORLINE_TEST_REALM#http://}
server=${server%%/*}
cat >"$given/etc/moorline/config.toml" <<X
insecure_registries = ["gitlab-registry.example", "$server"]
X
chmod -R a+rX "$given"

terminal() {
    [ -e "$TUTORIAL" ] || die "$TUTORIAL is not there: there is no tutorial to follow"
    {
        # the token that the page tells to save
        printf 'written() { :; }\ncat >token <<X\n%s\nX\nchmod 600 token\n' "$(cat "$MOORLINE_TEST_DEPLOY_SECRET")"
        # the install step of docs/ci.md is the shortest one
        tests/newcomer/steps.py docs/ci.md "1. Moorline on the login node (1 minute)"
        # shellcheck disable=SC2016  # for the script
        printf 'PATH=$HOME/moorline/bin:$PATH\n'
        tests/newcomer/steps.py "$TUTORIAL" | sed "s|https://gitlab\.example|http://$server|g"
    } >"$given/terminal.sh"
    grep -q -- "--realm http://$server" "$given/terminal.sh" || die "$TUTORIAL does not say where the registry's tokens come from"
    chmod 644 "$given/terminal.sh"
    # the page's name of the registry, without a port, leads to the one of the tests
    tests/newcomer/forward.py "$ADDRESS:80" "$MOORLINE_TEST_REGISTRY" &
    local forwarder=$! log=$MOORLINE_RUN/log/newcomer-terminal.log status=0
    mkdir -p "$MOORLINE_RUN/log"
    # shellcheck disable=SC2064  # now
    trap "kill $forwarder 2>/dev/null || :" EXIT
    wait_for 20 python3 -c "import socket; socket.create_connection(('$ADDRESS', 80))"
    local began=$SECONDS
    tests/env/newcomer-tree.sh run "$given" terminal.sh >"$log" 2>&1 </dev/null || status=$?
    cat "$log"
    [ "$status" = 0 ] || die "the page's commands ended with $status"
    kill "$forwarder"
    rm "$given/terminal.sh"
    grep -q '^verdict: Match' "$log" || die "no verdict: Match"
    grep -qF "@$MOORLINE_TEST_DIGEST_V1" "$log" || die "the job was not pinned to v1"
    say "from an empty home to an audited job in $((SECONDS - began)) s"
}

pipeline() {
    install -m 600 "$MOORLINE_TEST_JOB_TOKEN" "$given/ci/job-token"
    for_user newcomer
    local began=$SECONDS drive=(tests/env/as-user.sh env HOME="$given/ci/home" PIP_NO_INDEX=1 PIP_FIND_LINKS="$given/wheels"
        MOORLINE_TEST_JOB_TOKEN="$given/ci/job-token" tests/template/drive.sh)
    "${drive[@]}" from_docs "$given/ci/project"
    "${drive[@]}" chain "$given/ci/project"
    say "from an empty clone to a green pipeline in $((SECONDS - began)) s"
    "${drive[@]}" ordinary "$given/ci/project"
}

step "the tree" tests/env/newcomer-tree.sh make
step "$TUTORIAL in a tree without compiler and containers" terminal
step "gitlab-ci-local" tests/env/gitlab-ci-local.sh
step "docs/ci.md to a green pipeline, as an ordinary user" pipeline
