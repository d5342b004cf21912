#!/bin/bash
# about: the tests again, as an ordinary user
# commands: setpriv python3
# packages: util-linux python3 squashfs-tools squashfuse fuse3 strace gdb less
# provides: squashfuse
# minutes: 25
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
if [ "$(id -u)" != 0 ]; then
    skip "the caller is an ordinary user: the other parts did this"
fi
cargo test --locked --all-features --lib --bins --tests --no-run
mapfile -t programs < <(test_programs)
[ "${#programs[@]}" -gt 0 ] || die "no test program was built"
# What needs a server or root was tested by its own part.
unset MOORLINE_TEST_SLURM SLURM_CONF MOORLINE_TEST_REGISTRY
mapfile -t names < <(tr ',' '\n' <<<"${MOORLINE_TESTS_REQUIRE:-}" | grep -vxE 'root|loop|kernel-mount|differential|apptainer|debian-rootfs|slurm|htcondor|registry|podman|docker|charliecloud|udocker|fakechroot' || true)
MOORLINE_TESTS_REQUIRE=$(IFS=, && printf '%s' "${names[*]}")
export MOORLINE_TESTS_REQUIRE
failed=0
for program in "${programs[@]}"; do
    step "$(basename "$program")" "$ROOT/tests/env/as-user.sh" "$program" || failed=1
done
exit "$failed"
