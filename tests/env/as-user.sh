#!/bin/bash
# Runs a command as an ordinary user, from a checkout that this user might not reach.
#
#   tests/env/as-user.sh CMD...
#
# An ordinary caller is that user already. For root the command runs as $TEST_USER (made when it is
# missing) in a mount namespace of its own, where the checkout, the cache and the run's folder can be
# entered although they may lie below /root. HOME is fresh, cargo's own temporary folder is writable,
# and of the environment only PATH, LC_* and MOORLINE_TEST* go along.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}

# The folders above (and at) a path that others may not enter.
closed() {
    local path=$1
    while [ "$path" != / ]; do
        (($((8#$(stat -c %a "$path"))) & 1)) || printf '%s\n' "$path"
        path=$(dirname "$path")
    done
}

inside() {
    mkdir -p "$TARGET"
    local hold paths=("$ROOT" "$CACHE" "$TARGET" "$MOORLINE_RUN") at folder home
    hold=$(mktemp -d)
    mount -t tmpfs -o mode=700 tmpfs "$hold"
    for at in "${!paths[@]}"; do
        mkdir "$hold/$at"
        mount --rbind "${paths[at]}" "$hold/$at"
    done
    for at in "${!paths[@]}"; do
        # the outermost closed folder is replaced by an open, empty one; the path is gone until it is bound again
        folder=$(closed "${paths[at]}" | tail -n 1)
        [ -z "$folder" ] || mount -t tmpfs -o mode=755 tmpfs "$folder"
    done
    for at in "${!paths[@]}"; do
        [ ! "${paths[at]}" -ef "$hold/$at" ] || continue
        mkdir -p "${paths[at]}"
        mount --rbind "$hold/$at" "${paths[at]}"
    done
    umount -l "$hold"
    [ -z "$(closed "$ROOT")" ] || die "others may not enter $ROOT: chmod o+x it"
    home=$MOORLINE_RUN/home
    mkdir -p "$home" "$MOORLINE_RUN/target-tmp" "$TARGET/tmp"
    chown "$TEST_USER:" "$home" "$MOORLINE_RUN/target-tmp"
    mount --bind "$MOORLINE_RUN/target-tmp" "$TARGET/tmp"
    cd "$ROOT"
    local pass=() name
    for name in $(compgen -e); do
        case $name in PATH | LC_* | TERM | CI | SLURM_CONF | MOORLINE_TEST* | MOORLINE_RUN) pass+=("$name=${!name}") ;; esac
    done
    exec setpriv --reuid="$TEST_USER" --regid="$TEST_USER" --init-groups --inh-caps=-all -- \
        env -i "${pass[@]}" HOME="$home" USER="$TEST_USER" LOGNAME="$TEST_USER" MOORLINE_TEST_CACHE="$CACHE" CARGO_MANIFEST_DIR="$ROOT" "$@"
}

if [ "${1-}" = --inside ]; then
    shift
    inside "$@"
elif [ "$(id -u)" != 0 ]; then
    exec "$@"
else
    id -u "$TEST_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$TEST_USER"
    exec unshare --mount --propagation private "$0" --inside "$@"
fi
