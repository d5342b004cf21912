# shellcheck shell=bash
# udocker is no Debian package. It is a few Python files of PyPI, kept apart from the machine's own; sourced by parts
# after tests/lib.sh.

# udocker_into DIR: the package in DIR/package, and a program in DIR/bin that every user may start; what pip says is in
# the run's udocker.log.
udocker_into() {
    local into=$1 log=$MOORLINE_RUN/udocker.log
    mkdir -p "$into/bin"
    python3 -m pip download --quiet --no-deps --dest "$into/package" udocker==1.3.17 >"$log" 2>&1 || return
    python3 -m pip install --quiet --no-deps --target "$into/lib" "$into"/package/* >>"$log" 2>&1 || return
    printf '#!/usr/bin/python3\nimport sys\nsys.path.insert(0, "%s/lib")\nfrom udocker.maincmd import main\nsys.exit(main())\n' \
        "$into" >"$into/bin/udocker"
    chmod -R a+rX "$into"
    chmod 755 "$into/bin/udocker"
}
