#!/bin/bash
# The whole line by hand, as the user who calls it: login, resolve, convert, submit to Slurm, wait, logs,
# audit, and afterwards a search for the secrets in everything that was written and printed.
#
#   tests/line/drive.sh WORK    needs the environment of registry.sh and slurm.sh, and MOORLINE_TEST_PROGRAM
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
WORK=$1
REGISTRY=$MOORLINE_TEST_REGISTRY
IMAGE=$REGISTRY/$MOORLINE_TEST_IMAGE
mkdir -p "$WORK/printed"
cd "$WORK"

# Secrets that are lying about; none of them is for this registry.
export MOORLINE_SIGNING_KEY=sentinel-signing-71c2 CI_DEPLOY_PASSWORD=sentinel-deploy-71c2
export CI_SOME_TOKEN=sentinel-token-71c2 AWS_SECRET_ACCESS_KEY=sentinel-aws-71c2
SECRET=$(cat "$MOORLINE_TEST_DEPLOY_SECRET")

# m ARGS...: the program; what it prints is kept for the search.
m() {
    local status=0 kept
    kept=$(mktemp printed/call-XXXXXX)
    RUST_LOG=trace "$MOORLINE_TEST_PROGRAM" -v --insecure-registry "$REGISTRY" "$@" >"$kept.out" 2>"$kept.err" || status=$?
    printf '%s\n' "$@" >"$kept"
    cat "$kept.out"
    return "$status"
}
# ok ARGS...: a call that must succeed; what it prints is in $out.
ok() {
    local status=0
    out=$(m "$@") || status=$?
    is "moorline $1: exit code" "$status" 0
}
# is WHAT GOT WANTED
is() {
    [ "$2" = "$3" ] && return 0
    say "$1: got '$2', wanted '$3'"
    # shellcheck disable=SC2012  # names are plain
    tail -n 40 "$(ls -t printed/*.err | head -n 1)"
    exit 1
} >&2
holds() { # WHAT TEXT WANTED
    case $2 in *"$3"*) return 0 ;; esac
    say "$1: '$3' is not in: $2" >&2
    exit 1
}
# fails CODE WHAT ARGS...: a refusal with its documented code, one message, nothing on stdout.
fails() {
    local wanted=$1 what=$2 status=0 out
    shift 2
    out=$(m "$@") || status=$?
    is "$what: exit code" "$status" "$wanted"
    is "$what: stdout" "$(tr -d '\n' <<<"$out")" ''
}

# Every command line on the machine, again and again, while the line runs. grep takes the secret from
# a file, or it would find itself.
sample() {
    local wanted=$WORK/wanted
    printf '%s\nsentinel-\n' "$SECRET" >"$wanted"
    while :; do
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -aF -f "$wanted" >>"$WORK/cmdlines-with-secrets" || true
        sleep 0.05
    done
}
sample &
sampler=$!
trap 'kill "$sampler" 2>/dev/null || true' EXIT

say "-- before a login"
fails 3 "no credential" resolve "$IMAGE:v1"

say "-- login"
ok login "$REGISTRY/$MOORLINE_TEST_IMAGE" --username "$MOORLINE_TEST_DEPLOY_USER" --password-stdin --store file \
    --realm "$MOORLINE_TEST_REALM" <"$MOORLINE_TEST_DEPLOY_SECRET"

say "-- resolve"
is "a tag" "$(m resolve "$IMAGE:v1")" "$IMAGE@$MOORLINE_TEST_DIGEST_V1"
is "an index" "$(m resolve "$IMAGE:multi")" "$IMAGE@$MOORLINE_TEST_DIGEST_V1"
is "several, in order" "$(m resolve "$IMAGE:v2" "$IMAGE:v1" "$IMAGE:v2")" \
    "$IMAGE@$MOORLINE_TEST_DIGEST_V2
$IMAGE@$MOORLINE_TEST_DIGEST_V1
$IMAGE@$MOORLINE_TEST_DIGEST_V2"
json=$(m resolve --json "$IMAGE:multi")
holds "the pin's index" "$json" "$MOORLINE_TEST_DIGEST_MULTI"
holds "the pin's manifest" "$json" "$MOORLINE_TEST_DIGEST_V1"
fails 3 "a missing tag" resolve "$IMAGE:absent"
fails 3 "a missing digest" resolve "$IMAGE@sha256:$(printf '%064d' 7)"
fails 3 "no such platform" resolve --platform linux/s390x "$IMAGE:multi"

say "-- convert"
ok convert "$IMAGE:v1" -o analysis.sif
[ -s analysis.sif ] || die "convert left no file"

say "-- submit to Slurm, wait, logs"
# shellcheck disable=SC2016  # for the job's shell
ok submit --backend slurm --time 10m "$IMAGE:v1" -- /bin/sh -c \
    '. /etc/os-release; echo "$ID $(cat /opt/analysis/version) $(id -u)"; env; exit 7'
job=$out
is "one id" "$(wc -l <<<"$job")" 1
status=0
m wait "$job" >/dev/null || status=$?
is "the job's exit code" "$status" 7
ok logs "$job"
holds "the job's output" "$out" "debian v1 $(id -u)"
case $out in *sentinel-*) die "the job's environment holds a secret of the caller" ;; esac

say "-- audit"
ok audit job "$job"
holds "the verdict" "$out" Match
holds "the digest" "$out" "$MOORLINE_TEST_DIGEST_V1"
ok audit image "$IMAGE:v1"
holds "the jobs of the image" "$out" "${job:0:10}"
ok audit verify

say "-- refusals"
fails 2 "an unknown backend" submit --backend moon "$IMAGE:v1" -- true
fails 10 "what Slurm refuses" submit --backend slurm --queue absent "$IMAGE:v1" -- true

say "-- secrets"
kill "$sampler"
wait "$sampler" 2>/dev/null || true
[ ! -s cmdlines-with-secrets ] || die "a command line held a secret: $(cut -c1-80 cmdlines-with-secrets | head -n 3)"
rm -f wanted cmdlines-with-secrets
sacct --allusers --parsable2 --format=ALL --starttime now-1hour >sacct.txt
sacct -j "$(sacct -n -X -P -o JobIDRaw --starttime now-1hour | tail -n 1)" --batch-script >sacct-script.txt
sacct -j "$(sacct -n -X -P -o JobIDRaw --starttime now-1hour | tail -n 1)" --env-vars >sacct-env.txt
say "$(find printed -name "*.out" | wc -l) calls, all as they should be"
