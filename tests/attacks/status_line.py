"""A job writes into the channel between another running job's worker and container."""

import json
import os

import lib

HUNT = r"""
n=0
while [ $n -lt 200 ]; do
    n=$((n + 1))
    for f in $(find /host -type f -name status 2>/dev/null) $(find /host -type f -name inside.json 2>/dev/null); do
        printf '{"it":"refused","why":"another job says so"}\n' >>"$f" && echo "wrote $f"
    done
    for p in $(find /host -type p 2>/dev/null) $(find /host -type s 2>/dev/null); do
        echo "found $p"
    done
    [ -e /host/stop ] && break
    sleep 0.05
done
"""


def attack(case):
    """nothing that a job can reach tells another job's worker how its program fares"""
    sif = case.sif()
    work = [case.make("work"), case.make("work2")]
    shared = case.env["TMPDIR"]
    hunter = case.popen("moorline", "-q", "run", "--runtime", "builtin", "--mount", f"{shared}:/host", sif, "--", "sh",
                        "-c", HUNT, cwd=work[0], stdout=-1, stderr=-2, text=True)
    try:
        victim = case.call("moorline", "-q", "run", "--runtime", "builtin", sif, "--", "sh", "-c",
                           "n=0; while [ $n -lt 40 ]; do n=$((n+1)); sleep 0.05; done; echo through", cwd=work[1])
    finally:
        case.write("tmp/stop", "")
        try:
            said, _ = hunter.communicate(timeout=60)
        finally:
            hunter.kill()
            hunter.wait()
    if victim.returncode != 0 or "another job says so" in victim.stderr:
        return lib.broken(f"the other job ended with {victim.returncode}: {victim.stderr.strip()} ({said.strip()})")
    receipts = []
    for root, _, names in os.walk(case.dir):
        receipts += [os.path.join(root, n) for n in names if n.startswith("receipt-")]
    for path in receipts:
        with open(path, encoding="utf-8") as opened:
            text = opened.read()
        if json.loads(text)["exit_code"] != 0 and "another job" in text:
            return lib.broken(f"a receipt holds the other job's word: {path}")
    if "wrote" in said:
        return lib.broken(f"a file of the other job's channel was there: {said.split()[1]}")
    return None


lib.main(attack)
