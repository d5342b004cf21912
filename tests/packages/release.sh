#!/bin/bash
# The jobs `packages` and `release` of .gitlab-ci.yml in gitlab-ci-local, in a project of their own.
#
#   tests/packages/release.sh make DIR      the checkout as a project with a commit
#   tests/packages/release.sh packages DIR  makes the packages: DIR/dist
#   tests/packages/release.sh release DIR   publishes them at the stand-in for GitLab, and looks at what came there
#
# From the environment for `release`: MOORLINE_TEST_REGISTRY, MOORLINE_TEST_REALM, MOORLINE_TEST_JOB_TOKEN (a file).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
# shellcheck source=tests/env/gitlab-ci-local.sh
. "$HERE/../env/gitlab-ci-local.sh"
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
TAG=v$VERSION
CRATES=${CARGO_HOME:-$HOME/.cargo}

make_project() {
    mkdir -p "$1"
    (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --create) | tar -x -C "$1"
    cd "$1"
    git init --quiet --initial-branch=main .
    git add -A
    git -c user.name=Test -c user.email=test@gitlab.example -c commit.gpgsign=false commit --quiet -m 'a release'
    git remote add origin git@gitlab.example:physics/analysis.git
    ssh-keygen -q -t ed25519 -N '' -f "$1.key"
}

variables() { # DIR: what GitLab sets for every job of a tag; the token stands in a file
    umask 077
    # a path is taken for a file whose content is the value, unless its type is given
    cat >"$1/.gitlab-ci-local-variables.yml" <<X
CI_COMMIT_TAG: "$TAG"
CI_PROJECT_ID: "1"
CI_API_V4_URL: "${MOORLINE_TEST_REALM%/jwt/auth}/api/v4"
CI_JOB_TOKEN: "$(cat "$MOORLINE_TEST_JOB_TOKEN")"
CI_REGISTRY: "$MOORLINE_TEST_REGISTRY"
CI_REGISTRY_IMAGE: "$MOORLINE_TEST_REGISTRY/physics/analysis"
MOORLINE_TARGETS: "${MOORLINE_TEST_DIST:-x86_64-unknown-linux-gnu}"
MOORLINE_RELEASE_KEY: { type: file, values: { "*": "$1.key" } }
CARGO_HOME: { type: variable, values: { "*": "$CRATES" } }
CARGO_TARGET_DIR: { type: variable, values: { "*": "$MOORLINE_TEST_DIST_TARGET" } }
MOORLINE_DIST_TOOLS: { type: variable, values: { "*": "$CACHE/dist-tools" } }
MOORLINE_TEST_CACHE: { type: variable, values: { "*": "$CACHE" } }
X
    # The registry of the tests speaks plain http. Debian's skopeo takes such a file from the home directory alone.
    mkdir -p "$1.home/.config/containers"
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$MOORLINE_TEST_REGISTRY" >"$1.home/.config/containers/registries.conf"
}

job() { # DIR JOB
    variables "$1"
    cd "$1"
    # these are GitLab's own names, and the stand-in is the GitLab
    GCL_IGNORE_PREDEFINED_VARS=CI_PROJECT_ID,CI_API_V4_URL,CI_REGISTRY,CI_REGISTRY_IMAGE gitlab_ci_local "$2"
}

fetch() { # PATH FILE: from the stand-in, with the job token
    printf 'header = "JOB-TOKEN: %s"\n' "$(cat "$MOORLINE_TEST_JOB_TOKEN")" |
        curl --config - --silent --show-error --fail-with-body --noproxy '*' \
            "${MOORLINE_TEST_REALM%/jwt/auth}/api/v4/projects/1/$1" --output "$2"
}

release() { # DIR
    local got=$1.got file
    HOME=$1.home job "$1" release
    mkdir -p "$got"
    fetch "releases/$TAG" "$got/release.json"
    fetch "packages/generic/moorline/$VERSION/SHA256SUMS" "$got/SHA256SUMS"
    fetch "packages/generic/moorline/$VERSION/SHA256SUMS.sig" "$got/SHA256SUMS.sig"
    while read -r _ file; do
        fetch "packages/generic/moorline/$VERSION/${file//+/%2B}" "$got/$file"
        grep -qF "\"$file\"" "$got/release.json" || die "the release has no link to $file"
    done <"$got/SHA256SUMS"
    (cd "$got" && sha256sum --check --quiet --strict SHA256SUMS)
    printf 'release@moorline %s\n' "$(cat "$1.key.pub")" >"$got/allowed_signers"
    ssh-keygen -Y verify -f "$got/allowed_signers" -I release@moorline -n moorline-release -s "$got/SHA256SUMS.sig" <"$got/SHA256SUMS"
    # the image, pulled again
    HOME=$1.home skopeo --insecure-policy inspect --authfile "$MOORLINE_TEST_PUSH_AUTH" \
        "docker://$MOORLINE_TEST_REGISTRY/physics/analysis:$VERSION" | grep -q '"Digest"'
    say "the token is in nothing that was written"
    if grep -rlF --exclude=.gitlab-ci-local-variables.yml -f "$MOORLINE_TEST_JOB_TOKEN" "$1" --exclude-dir=target; then
        die "the files above hold the job token"
    fi
    say "a second release of the same tag is refused"
    if HOME=$1.home job "$1" release >"$got/again.log" 2>&1; then
        cat "$got/again.log" >&2
        die "a release was made twice"
    fi
    grep -qF "Release already exists" "$got/again.log" || die "the refusal does not say why: $(tail -n 5 "$got/again.log")"
}

case ${1-} in
make) make_project "$2" ;;
packages) job "$2" packages ;;
release) release "$2" ;;
*) die "usage: $0 make|packages|release DIR" ;;
esac
