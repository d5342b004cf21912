"""The owner edits the last line of a writer, adds a back-dated writer, removes the payloads: "consistent"."""
# Security review of 45f9350, item 13. Nothing local prevents it: the attack fails when the answer says what it
# cannot see.

import glob
import hashlib
import os
import shutil

import lib


def attack(case):
    """`audit verify` names its limits, and counts what is missing"""
    sif = case.sif()
    for number in range(2):
        case.call("moorline", "run", "--runtime", "builtin", sif, "--", "sh", "-c", f"echo {number}", check=True)
    ledger = os.path.join(case.home, ".local/share/moorline/ledger")

    def verify():
        done = case.call("moorline", "audit", "verify")
        return done.returncode, (done.stdout + done.stderr).lower()

    # the last line of a writer, with its check computed anew: nothing follows that would show it
    segment = max(glob.glob(os.path.join(ledger, "*.jsonl")), key=os.path.getsize)
    with open(segment, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    with open(segment, "wb") as file:
        file.writelines([*lines[:-1], forge(lines[-1])])
    code, said = verify()
    if code != 0:
        raise RuntimeError(f"the forged line was found: {said}")
    if "last record" not in said:
        return lib.broken(f"a forged last line is called consistent without a word: {said.strip()}")
    # a writer that never was, with a copy of another's lines
    name = os.path.basename(segment)
    other = os.path.join(ledger, "0" * 8 + name[8:])
    shutil.copy2(segment, other)
    case.own(other)
    code, said = verify()
    if code == 0 and "added" not in said and "add" not in said:
        return lib.broken(f"an added writer is called consistent without a word: {said.strip()}")
    os.remove(other)
    # all payloads
    gone = [path for path in glob.glob(os.path.join(ledger, "**", "*.json"), recursive=True) if "payload" in path
            or "personal" in path]
    if not gone:
        raise RuntimeError(f"no payload in {os.listdir(ledger)}")
    for path in gone:
        os.remove(path)
    code, said = verify()
    if code == 0 and str(len(gone)) not in said:
        return lib.broken(f"{len(gone)} payloads are gone, and that is not counted: {said.strip()}")
    return None


def forge(line):
    """The line with another exit code and the check that belongs to it."""
    body, mark, _ = line.rpartition(b',"check":"')
    changed = body.replace(b'"exit_code":0', b'"exit_code":7')
    if not mark or changed == body:
        raise RuntimeError(f"the last line is no end of a job: {line!r}")
    return changed + mark + b"sha256:" + hashlib.sha256(changed).hexdigest().encode() + b'"}\n'


lib.main(attack)
