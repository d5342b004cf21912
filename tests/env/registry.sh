#!/bin/bash
# A registry for the tests, on loopback: Debian's docker-registry with token authentication, and the
# stand-in for GitLab (examples/gitlab-stand-in.rs) that signs its tokens.
#
#   tests/env/registry.sh start DIR   start, push the Debian image, write DIR/env
#   tests/env/registry.sh stop DIR    end both by the ids that were kept
#
# DIR/env is to be sourced; it exports
#
#   MOORLINE_TEST_REGISTRY          127.0.0.1:PORT, plain http
#   MOORLINE_TEST_REALM             http://127.0.0.1:PORT/jwt/auth
#   MOORLINE_TEST_DEPLOY_USER       the deploy token of physics/analysis: its user name
#   MOORLINE_TEST_DEPLOY_SECRET     and the file (0600) that holds its secret
#   MOORLINE_TEST_NOREGISTRY_USER   a token without any registry scope, same file rules
#   MOORLINE_TEST_NOREGISTRY_SECRET
#   MOORLINE_TEST_JOB_TOKEN         the file with a CI job token of physics/analysis
#   MOORLINE_TEST_API_TOKEN         the file with a project access token of physics/analysis (scope api)
#   MOORLINE_TEST_PUSH_AUTH         an auth file (docker's config.json) that may push to all projects
#   MOORLINE_TEST_IMAGE             physics/analysis; tags v1, v2 and multi
#   MOORLINE_TEST_DIGEST_V1, _V2    the manifest digests of v1 and v2
#   MOORLINE_TEST_DIGEST_MULTI      the index digest of multi; for this machine it leads to v1
#   MOORLINE_TEST_IMAGE_LAYOUT      the OCI layout that was pushed
#
# Projects: physics/analysis (private), physics/calibration (private, the token is not for it),
# physics/open (public). docker-registry forgets what it stored when it is stopped.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"

SERVICE=container_registry
ISSUER=gitlab-issuer
DEPLOY_USER=gitlab+deploy-token-7

random() { python3 -c 'import secrets; print(secrets.token_urlsafe(24))'; }
answers() { python3 -c 'import sys, urllib.request, urllib.error
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=2)
except urllib.error.HTTPError:
    pass' "$1"; }

start() {
    local standin=${MOORLINE_TEST_STAND_IN:-}
    if [ -z "$standin" ]; then
        cargo build --quiet --locked --all-features --manifest-path "$ROOT/Cargo.toml" --example gitlab-stand-in
        standin=${CARGO_TARGET_DIR:-$ROOT/target}/debug/examples/gitlab-stand-in
    fi
    umask 077
    mkdir -p "$DIR/storage"
    chmod 755 "$DIR"
    trap stop EXIT # of a start that fails half-way

    random >"$DIR/push-secret"
    printf 'gldt-%s\n' "$(random)" | tee "$DIR/secret" >/dev/null
    printf 'gldt-%s\n' "$(random)" | tee "$DIR/noregistry-secret" >/dev/null
    printf 'glcbt-%s\n' "$(random)" | tee "$DIR/job-token" >/dev/null
    printf 'glpat-%s\n' "$(random)" | tee "$DIR/api-token" >/dev/null
    python3 - "$DIR" "$SERVICE" "$ISSUER" "$DEPLOY_USER" <<'PY'
import json, sys
folder, service, issuer, user = sys.argv[1:]
read = lambda name: open(f"{folder}/{name}").read().strip()
json.dump({
    "service": service,
    "issuer": issuer,
    "projects": [
        {"path": "physics/analysis"},
        {"path": "physics/calibration"},
        {"path": "physics/open", "visibility": "public"},
    ],
    "deploy_tokens": [
        {"username": user, "secret": read("secret"), "scopes": ["read_registry"], "project": "physics/analysis"},
        {"username": "no-registry", "secret": read("noregistry-secret"), "scopes": ["read_repository"], "project": "physics/analysis"},
        {"username": "push", "secret": read("push-secret"), "scopes": ["read_registry", "write_registry"], "group": "physics"},
    ],
    "job_tokens": [{"secret": read("job-token"), "project": "physics/analysis"}],
    "gitlab": {
        "api_tokens": [{"secret": read("api-token"), "projects": ["physics/analysis"], "scopes": ["api"]}],
        "merge_requests": [{"project": "physics/analysis", "iid": 7, "source_branch": "main", "pipeline": 1}],
    },
}, open(f"{folder}/stand-in.json", "w"))
PY

    local auth registry
    auth=127.0.0.1:$(free_port)
    rm -f "$DIR/stand-in.ready"
    "$standin" --listen "$auth" --config "$DIR/stand-in.json" --cert-out "$DIR/token-cert.pem" --auth-only \
        --ready-file "$DIR/stand-in.ready" </dev/null >"$DIR/stand-in.log" 2>&1 &
    keep_pid "$DIR/stand-in.pid" $!
    wait_for 30 test -e "$DIR/stand-in.ready" || {
        cat "$DIR/stand-in.log" >&2
        die "the stand-in for GitLab did not start"
    }

    registry=127.0.0.1:$(free_port)
    # for a bench: no log of each request, and the cache that Debian's own configuration has; the tests
    # are without it because they collect garbage behind the registry's back
    quiet=
    [ "${MOORLINE_TEST_REGISTRY_QUIET:-false}" != true ] || quiet=true
    cat >"$DIR/registry.yml" <<X
version: 0.1
log:
  accesslog: {disabled: ${quiet:-false}}
  level: $([ "$quiet" ] && echo warn || echo info)
storage:
  filesystem: {rootdirectory: $DIR/storage}
  delete: {enabled: true}
${quiet:+  cache: {blobdescriptor: inmemory\}}
http:
  addr: $registry
auth:
  token:
    realm: http://$auth/jwt/auth
    service: $SERVICE
    issuer: $ISSUER
    rootcertbundle: $DIR/token-cert.pem
X
    docker-registry serve "$DIR/registry.yml" </dev/null >"$DIR/registry.log" 2>&1 &
    keep_pid "$DIR/registry.pid" $!
    wait_for 30 answers "http://$registry/v2/" || {
        tail -n 20 "$DIR/registry.log" >&2
        die "docker-registry did not start"
    }

    python3 - "$registry" "$DIR" <<'PY'
import base64, json, sys
registry, folder = sys.argv[1:]
secret = open(f"{folder}/push-secret").read().strip()
json.dump({"auths": {registry: {"auth": base64.b64encode(f"push:{secret}".encode()).decode()}}}, open(f"{folder}/push-auth.json", "w"))
PY
    local layout
    layout=$("$HERE/debian-image.sh" make)
    cat >"$DIR/env" <<X
export MOORLINE_TEST_REGISTRY='$registry'
export MOORLINE_TEST_REALM='http://$auth/jwt/auth'
export MOORLINE_TEST_DEPLOY_USER='$DEPLOY_USER'
export MOORLINE_TEST_DEPLOY_SECRET='$DIR/secret'
export MOORLINE_TEST_NOREGISTRY_USER='no-registry'
export MOORLINE_TEST_NOREGISTRY_SECRET='$DIR/noregistry-secret'
export MOORLINE_TEST_JOB_TOKEN='$DIR/job-token'
export MOORLINE_TEST_API_TOKEN='$DIR/api-token'
export MOORLINE_TEST_PUSH_AUTH='$DIR/push-auth.json'
export MOORLINE_TEST_IMAGE='physics/analysis'
export MOORLINE_TEST_IMAGE_LAYOUT='$layout'
X
    python3 - "$layout/index.json" >>"$DIR/env" <<'PY'
import json, sys
for image in json.load(open(sys.argv[1]))["manifests"]:
    name = image["annotations"]["org.opencontainers.image.ref.name"].upper()
    print(f"export MOORLINE_TEST_DIGEST_{name}='{image['digest']}'")
PY
    chmod 644 "$DIR/env" # it names files, it holds no secret
    "$HERE/debian-image.sh" push "$DIR"
    trap - EXIT
    say "docker-registry is up on $registry; use it with:  . $DIR/env"
}

stop() {
    stop_pid "$DIR/registry.pid"
    stop_pid "$DIR/stand-in.pid"
    rm -rf "$DIR/storage" "$DIR/env"
}

[ $# = 2 ] || die "usage: $0 start|stop DIR"
mkdir -p "$2"
DIR=$(cd "$2" && pwd -P)
case $1 in
start) start ;;
stop) stop ;;
*) die "usage: $0 start|stop DIR" ;;
esac
