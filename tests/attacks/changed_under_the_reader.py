"""A shared writable mapping changes a SIF after it was measured, without a new ctime: Match, measured, no word."""
# Security review of 45f9350, item 10. A second hash would not find *write, run, restore*: the attack fails when
# the claim says what it is worth.

import json

import lib


def attack(case):
    """*measured* says that a writable mapping of the same user could have changed the file afterwards"""
    sif = case.sif()
    done = case.call("moorline", "run", "--runtime", "builtin", sif, "--", "sh", "-c", "echo ran", check=True)
    job = done.stderr.split()[-1]
    text = case.call("moorline", "audit", "job", job).stdout
    grade = next((line for line in text.splitlines() if line.split()[:1] == ["grade"]), "")
    if "writable mapping" not in grade:
        return lib.broken(f"the grade says nothing of what may have happened since: {grade.strip()}")
    value = json.loads(case.call("moorline", "--json", "audit", "job", job).stdout)
    if "forgeable_by" not in json.dumps(value):
        return lib.broken("JSON does not say who could have forged it")
    return None


lib.main(attack)
