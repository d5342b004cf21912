#!/bin/bash
# Makes a real Debian image as an OCI layout, once: later runs take the cached one.
#
#   tests/env/debian-image.sh make          prints the layout's directory
#   tests/env/debian-image.sh push DIR      pushes it with skopeo as :v1, :v2 and :multi of
#                                           physics/analysis into the registry of `registry.sh start DIR`
#
# The root file system is mmdebstrap's minbase (without root through a user namespace), the layers and
# the index are written by oci-layout.py.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"

# A change of the generator makes another image.
VERSION=$(sha256sum "$HERE/oci-layout.py" | cut -c1-12)
LAYOUT=$CACHE/debian-image-$DEBIAN_SUITE-$VERSION

make_image() {
    [ -e "$LAYOUT/index.json" ] && return 0
    lock debian-image
    [ ! -e "$LAYOUT/index.json" ] || { unlock && return 0; }
    local tar=$CACHE/debian-rootfs-$DEBIAN_SUITE.tar
    if [ ! -e "$tar" ]; then
        local expired
        expired=$(apt-config dump Acquire::Check-Valid-Until 2>/dev/null || true)
        SOURCE_DATE_EPOCH=1700000000 mmdebstrap --quiet --variant=minbase --format=tar \
            ${expired:+--aptopt="$expired"} "$DEBIAN_SUITE" "$tar.part" "$(debian_mirror)" >&2
        mv "$tar.part" "$tar"
    fi
    python3 "$HERE/oci-layout.py" "$tar" "$LAYOUT" "$(dpkg --print-architecture)" >&2
    unlock
}

push() {
    # shellcheck disable=SC1091  # written by registry.sh
    . "$1/env"
    local tag
    for tag in v1 v2 multi; do
        # The password comes from a file, so that it is in no process list.
        skopeo --insecure-policy copy --quiet --all --dest-authfile "$MOORLINE_TEST_PUSH_AUTH" \
            --dest-tls-verify=false "oci:$LAYOUT:$tag" "docker://$MOORLINE_TEST_REGISTRY/$MOORLINE_TEST_IMAGE:$tag" >&2
    done
}

case ${1-} in
make) make_image && say "$LAYOUT" ;;
push) make_image && push "$2" ;;
*) die "usage: $0 make | push DIR" ;;
esac
