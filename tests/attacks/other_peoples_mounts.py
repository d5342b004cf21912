"""Other people's mounts below a bound directory: closed, covered, dead, with names that are no text.

Any of them used to stop every job of every user of the machine. Root is needed to play the other people.
"""
# may-skip: somebody else's mounts can only be made by root

import os
import sys

import lib


def attack(case):
    sif = case.sif()
    zoo = os.environ["MOORLINE_TEST_ZOO"]
    for mounts in ([], ["--mount", f"{zoo}:/zoo"], ["--mount", f"{zoo}:/zoo:ro"]):
        script = "ls /sys >/dev/null && echo ran; cat /proc/self/mountinfo"
        done = case.call("moorline", "run", *mounts, sif, "--", "sh", "-c", script, cwd=case.make("work"), timeout=90)
        if not done.stdout.startswith("ran\n"):
            return lib.broken(f"a job with {mounts or 'no mounts'} does not run: {done.stderr.strip()[-300:]}")
        for line in done.stdout.splitlines()[1:]:
            point, options = line.split(" ")[4:6]
            options = options.split(",")
            if point.startswith("/zoo") and not {"nosuid", "nodev"} <= set(options):
                return lib.broken(f"{point[:80]} is mounted with {options}")
            if point.startswith("/zoo") and mounts[-1].endswith(":ro") and "ro" not in options:
                return lib.broken(f"{point[:80]} can be written to")
    strict = case.call("moorline", "run", "--mount", f"{zoo}:/zoo:ro:required", sif, "--", "id", timeout=90)
    if strict.returncode != 212 or "cannot be reached" not in strict.stderr:
        return lib.broken(f"a required read-only mount lacks something, and the job ends with {strict.returncode}")
    return "the jobs run, with flags on every mount"


if __name__ == "__main__":
    if os.geteuid() == 0 and "MOORLINE_TEST_ZOO" not in os.environ:
        zoo = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "env", "mount-zoo.py")
        os.execv(sys.executable, [sys.executable, zoo, sys.executable, *sys.argv])
    if os.geteuid() != 0:
        print("SKIPPED: other_peoples_mounts: somebody else's mounts can only be made by root")
        sys.exit(77)
    lib.main(attack)
