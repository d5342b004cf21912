#!/bin/bash
# about: every package of a release made, installed in a clean tree and tried as an ordinary user; the release job
# commands: debootstrap unshare ip mmdebstrap python3 skopeo docker-registry ssh-keygen curl git rsync
# packages: debootstrap mmdebstrap debian-archive-keyring iproute2 util-linux python3 python3-venv skopeo docker-registry openssh-client curl git rsync binutils
# needs: root registry
# minutes: 150
#
# MOORLINE_TEST_DIST=native is the quick form: the same packages of the programs of the debug build. It says nothing about
# sizes, start-up, glibc 2.17, `cargo install` with optimisation and arm64, and lists these as skipped.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/gitlab-ci-local.sh
. "$(dirname "$0")/../env/gitlab-ci-local.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "packages are installed as root, and the caller is not root"

# One run at a time. The dependencies are built once for each set of them; another set begins from nothing. The
# project always lies in the same place: for cargo another place is another program.
lock packages
key=$(cat Cargo.lock <(grep -E '^(GLIBC|MATURIN)=' packaging/dist) <(rustc -vV) | sha256sum | cut -c1-12)
export MOORLINE_TEST_DIST_TARGET=$CACHE/packages-target-$key
quick='' install=()
if [ "${MOORLINE_TEST_DIST:-}" = native ]; then
    quick=1 install=(--debug)
    MOORLINE_TEST_DIST_TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
fi
arm64_target=$CACHE/packages-arm64-target-$key
find "$CACHE" -maxdepth 1 -name 'packages-*target-*' ! -name "*-$key" -mtime +3 -exec rm -rf {} +
rm -rf "$CACHE/packages"
mkdir -p "$CACHE/packages" "$MOORLINE_RUN/packages"

project=$CACHE/packages/project
step "gitlab-ci-local" gitlab_ci_local_install
step "the checkout as a project" tests/packages/release.sh make "$project"
step "the job packages" tests/packages/release.sh packages "$project"
dist=$project/dist
if [ -n "$quick" ]; then
    programs=$MOORLINE_TEST_DIST_TARGET/debug
    note_skipped "sizes and start-up" "these are programs of the debug build (MOORLINE_TEST_DIST=native)"
else
    programs=$MOORLINE_TEST_DIST_TARGET/x86_64-unknown-linux-gnu/dist
    step "sizes and start-up" tests/packages/bars.sh "$programs"
fi
step "the crates in the programs" tests/packages/crates.py "$(echo "$dist"/moorline-*.cdx.json)" "$programs/moorline" "$programs/moorline-worker"
step "the job release" tests/packages/release.sh release "$project"

step "the tree" tests/env/package-tree.sh make
for kind in wheel archive deb rpm; do
    step "$kind" tests/env/package-tree.sh run "" "$dist" -- /tests/try.sh "$kind"
done

# The image's own tree: its layers, one over the other.
image=$MOORLINE_RUN/packages/image
unpack() {
    mkdir -p "$image"
    python3 tests/packages/unpack.py "$(echo "$dist"/moorline-*.oci.tar)" "$image"
}
step "unpack the image" unpack
step "image" tests/env/package-tree.sh run "$image" "$dist" -- /tests/try.sh image

# from the source of the release
installed=$MOORLINE_RUN/packages/installed source=$CACHE/packages/source
mkdir -p "$source"
tar -xzf "$(echo "$dist"/moorline-*-source.tar.gz)" -C "$source" --strip-components=1
step "cargo install --locked" env CARGO_TARGET_DIR="$MOORLINE_TEST_DIST_TARGET" \
    cargo install "${install[@]}" --quiet --locked --path "$source" --root "$installed" --no-track
step "cargo" tests/env/package-tree.sh run "" "$dist" "$installed" -- /tests/try.sh cargo

if [ -n "$quick" ]; then
    note_skipped "packages for arm64" "there is no quick form of them (MOORLINE_TEST_DIST=native)"
    exit 0
fi
# Another processor: its compiler comes from Debian, since not every machine reaches rustup's server.
step "fetch the crates" cargo fetch --locked
status=0
step "the tree for arm64" tests/env/arm64-tree.sh make || status=$?
case $status in
0) step "packages for arm64" tests/packages/arm64.sh "$arm64_target" "$dist" ;;
"$SKIPPED") need_skipped "packages for arm64" "a compiler for arm64 cannot be installed from $(debian_mirror)" ;;
*) exit "$status" ;;
esac
