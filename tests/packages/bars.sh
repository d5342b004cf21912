#!/bin/bash
# The bars for the programs: sizes, and how long a start takes.
#
#   tests/packages/bars.sh DIR    with moorline and moorline-worker
set -euo pipefail
cd "$1"
failed=0
size() { # PROGRAM MB MOST: the bar, and what no release may be larger than
    local bytes reached='reached'
    bytes=$(stat -c %s "$1")
    [ "$bytes" -lt $(($2 * 1000000)) ] || reached='NOT reached'
    printf '%-16s %5d kB; bar: below %d MB: %s\n' "$1" $((bytes / 1000)) "$2" "$reached"
    [ "$bytes" -lt $(($3 * 1000000)) ] || failed=1
}
# docs/performance.md says what was tried for the first one
size moorline 15 19
size moorline-worker 4 4
# The fastest of many: what the program needs, and not what else the machine does.
python3 - <<'PY' || failed=1
import os, subprocess, sys, time
best = {}
for program in ["./moorline", "./moorline-worker"]:
    for _ in range(200):
        began = time.perf_counter()
        subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)
        took = (time.perf_counter() - began) * 1000
        best[program] = min(took, best.get(program, took))
    print("%-16s starts in %.1f ms, at most 10 ms" % (program[2:], best[program]))
sys.exit(max(best.values()) >= 10)
PY
exit "$failed"
