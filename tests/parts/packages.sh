#!/bin/bash
# about: every package of a release made, installed in a clean tree and tried as an ordinary user; the release job
# commands: debootstrap unshare ip mmdebstrap python3 skopeo docker-registry ssh-keygen curl git
# packages: debootstrap mmdebstrap debian-archive-keyring iproute2 util-linux python3 python3-venv skopeo docker-registry openssh-client curl git binutils
# needs: root registry
# minutes: 90
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/env/gitlab-ci-local.sh
. "$(dirname "$0")/../env/gitlab-ci-local.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || skip "packages are installed as root, and the caller is not root"

# The dependencies are built once for each set of them; another set begins from nothing.
key=$(cat Cargo.lock packaging/dist <(rustc -vV) | sha256sum | cut -c1-12)
export MOORLINE_TEST_DIST_TARGET=$CACHE/packages-target-$key
find "$CACHE" -maxdepth 1 -name 'packages-target-*' ! -path "$MOORLINE_TEST_DIST_TARGET" -mtime +3 -exec rm -rf {} +

project=$MOORLINE_RUN/packages/project
step "gitlab-ci-local" gitlab_ci_local_install
step "the checkout as a project" tests/packages/release.sh make "$project"
step "the job packages" tests/packages/release.sh packages "$project"
dist=$project/dist

step "sizes and start-up" tests/packages/bars.sh "$MOORLINE_TEST_DIST_TARGET/x86_64-unknown-linux-gnu/release"
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

installed=$MOORLINE_RUN/packages/installed
step "cargo install --locked" cargo install --quiet --locked --path . --root "$installed" --no-track
step "cargo" tests/env/package-tree.sh run "" "$dist" "$installed" -- /tests/try.sh cargo

step "the job release" tests/packages/release.sh release "$project"
