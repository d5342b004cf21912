#!/bin/bash
# The packages for 64-bit ARM: cross-compiled in the tree of tests/env/arm64-tree.sh, and tried there by emulation.
#
#   tests/packages/arm64.sh TARGET DIST    TARGET is cargo's target directory for it, DIST what packaging/dist made here
#
# The emulated program converts the image of DIST, and the bytes are compared with those of this processor. No
# job is tried: the kernel would have to start emulated programs by itself (binfmt_misc), for the whole machine.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/lib.sh
. "$HERE/../lib.sh"
TRIPLE=aarch64-unknown-linux-gnu

# In the tree: the packages.
make_packages() {
    mkdir /build
    tar -C /src --exclude=./target --exclude=./.git --exclude=./dist -c . | tar -x -C /build
    cd /build
    # zig links, for the old glibc; gcc is for the tests
    unset CARGO_BUILD_TARGET CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER
    MOORLINE_DIST_TOOLS=/tools packaging/dist --target "$TRIPLE" --programs-only --out /target/dist
}

only() { # FILES: the one file that a pattern means
    if [ $# != 1 ] || [ ! -e "$1" ]; then die "not one file: $*"; fi
    printf '%s\n' "$1"
}

# In the tree: each package is installed, and the program tried.
try_packages() {
    local version wheel=/wheel archive=/archive
    dpkg -i "$(only /target/dist/*_arm64.deb)"
    version=$(qemu-aarch64 /usr/bin/moorline --version)
    say "$version, $(qemu-aarch64 /usr/bin/moorline-worker --version)"
    [ "$(dpkg-query -W -f '${Architecture}' moorline:arm64)" = arm64 ] || die "the .deb is not for arm64"
    mkdir "$wheel" "$archive"
    tar -xzf "$(only /target/dist/*-aarch64-linux.tar.gz)" -C "$archive" --strip-components=1
    for program in moorline moorline-worker; do
        cmp "/usr/bin/$program" "$archive/bin/$program"
        readelf -h "/usr/bin/$program" | grep -q 'Machine: *AArch64' || die "$program is not for 64-bit ARM"
    done
    [ -s /usr/share/man/man1/moorline-submit.1 ] || [ -s /usr/share/man/man1/moorline-submit.1.gz ] || die "no manual pages"
    # hashes, compressors, threads
    HOME=/root qemu-aarch64 /usr/bin/moorline convert oci-archive:/target/image.oci.tar --platform linux/amd64 -o /target/arm64.sif
    HOME=/root qemu-aarch64 /usr/bin/moorline verify /target/arm64.sif
}

case ${1-} in
--make) make_packages ;;
--try) try_packages ;;
*)
    target=$1 dist=$2
    program=$MOORLINE_TEST_DIST_TARGET/x86_64-unknown-linux-gnu/dist/moorline
    mkdir -p "$target"
    cp "$(only "$dist"/moorline-*.oci.tar)" "$target/image.oci.tar"
    rm -f "$target"/*.sif
    "$HERE/../env/arm64-tree.sh" run "$target" "$CACHE/dist-tools" -- /src/tests/packages/arm64.sh --make
    "$HERE/../env/arm64-tree.sh" run "$target" "$CACHE/dist-tools" -- /src/tests/packages/arm64.sh --try
    # what the wheel and the .rpm hold is read here: the tree has no Python and no rpm
    python3 - "$(only "$target"/dist/*manylinux_2_17_aarch64*.whl)" "$target/$TRIPLE/dist" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in ["moorline", "moorline-worker"]:
        (path,) = [path for path in wheel.namelist() if path.endswith("/scripts/" + name)]
        assert wheel.read(path) == open(sys.argv[2] + "/" + name, "rb").read(), path
PY
    "$HERE/../env/package-tree.sh" run "" "$target/dist" -- sh -c 'rpm -qp --queryformat "%{ARCH}\n" /dist/*.rpm' | grep -qx aarch64
    home=$(mktemp -d)
    HOME=$home "$program" convert "oci-archive:$target/image.oci.tar" --platform linux/amd64 -o "$target/x86_64.sif"
    rm -rf "$home"
    cmp "$target/arm64.sif" "$target/x86_64.sif"
    say "both processors made the same $(stat -c %s "$target/arm64.sif") bytes"
    ;;
esac
