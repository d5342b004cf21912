#!/usr/bin/env python3
"""What Slurm's signals come to in a job's program: the rows of docs/runtime.md, on a real Slurm.

    signals.py MOORLINE ENV NAME       ENV is the file that tests/env/slurm.sh wrote, NAME what to call the cluster

As root it submits as the ordinary user that ENV names. Prints a line for each row; ends with 1 when one differs.
"""

import glob
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "attacks"))
import lib  # noqa: E402

PATIENCE = 120
# a signal that was to come twice would have come by then
QUIET = 2.0
# says what it hears, and ends some time after TERM so that a second one is heard too
LISTENS = ("trap 'echo TERM; n=1' TERM; trap 'echo USR1' USR1; trap 'echo CONT' CONT; echo ready; k=0; m=0; "
           "while [ $k -lt 2000 ]; do sleep 0.1; k=$((k+1)); [ -z \"$n\" ] || m=$((m+1)); "
           "[ $m -lt 12 ] || exit 3; done")
STUBBORN = "trap 'echo TERM' TERM; echo ready; k=0; while [ $k -lt 2000 ]; do sleep 0.1; k=$((k+1)); done"


class Cluster:
    def __init__(self, moorline, env_file, directory):
        with open(env_file, encoding="utf-8") as lines:
            words = [line.strip().removeprefix("export ").split("=", 1) for line in lines]
        said = {name: shlex.split(value)[0] for name, value in words}
        user = pwd.getpwnam(said["MOORLINE_TEST_SLURM_USER"]) if os.geteuid() == 0 else None
        os.chmod(directory, 0o755)
        if user:
            os.chown(directory, user.pw_uid, user.pw_gid)
        self.case = lib.Case(moorline, directory, user)
        self.case.env["SLURM_CONF"] = said["SLURM_CONF"]
        self.image = self.case.sif()
        self.failed = 0

    def submit(self, script, *flags):
        done = self.case.call("moorline", "submit", "--backend", "slurm", "--runtime", "builtin", *flags, self.image,
                              "--", "/bin/sh", "-c", script, check=True)
        job = done.stdout.strip()
        engine = done.stderr.split("submitted as ")[1].split()[0]
        return Job(self, job, engine.split(":")[1].split("@")[0])

    def row(self, what, found, expected):
        good = found == expected
        self.failed += not good
        print(f"{'ok' if good else 'DIFFERS'}: {what}: {found}" + ("" if good else f", expected {expected}"))


class Job:
    def __init__(self, cluster, job, engine):
        self.cluster, self.job, self.engine = cluster, job, engine
        self.dir = os.path.join(cluster.case.env["XDG_STATE_HOME"], "moorline/jobs", job)
        self.until(lambda: "ready" in self.heard(), "its program does not start")

    def until(self, what, why):
        deadline = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > deadline:
                with open(self.dir + "/stderr", encoding="utf-8") as log:
                    raise RuntimeError(f"{self.job}: {why}: {self.heard()} {log.read()}")
            time.sleep(0.05)

    def heard(self):
        try:
            with open(self.dir + "/stdout", encoding="utf-8") as log:
                # CONT comes with some, and is nobody's wish
                return [word for word in log.read().split() if word != "CONT"]
        except FileNotFoundError:
            return []

    def tell(self, *flags):
        self.cluster.case.call("scancel", *flags, self.engine, check=True)

    def gone(self):
        queue = self.cluster.case.call("squeue", "-h", "-j", self.engine, "-o", "%T").stdout.split()
        return not queue or queue[0] not in ("RUNNING", "COMPLETING", "PENDING")

    def end(self):
        self.until(self.gone, "it does not end")
        receipts = glob.glob(self.dir + "/control/receipt-*.json")
        if not receipts:
            return None
        with open(receipts[0], encoding="utf-8") as file:
            receipt = json.load(file)
        return {name: receipt.get(name) for name in ("exit_code", "told", "signal")}

    def processes(self, mark):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    words = file.read()
            except OSError:
                continue
            if mark.encode() in words and b"slurmstepd" not in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
        return found


def main(moorline, env_file, name):
    directory = tempfile.mkdtemp(prefix="moorline-slurm.", dir="/tmp")
    try:
        cluster = Cluster(moorline, env_file, directory)
        timed = cluster.submit(LISTENS, "--time", "1")

        job = cluster.submit(LISTENS)
        job.tell()
        cluster.row(f"{name}: scancel", (job.end(), job.heard()),
                    ({"exit_code": 143, "told": 15, "signal": None}, ["ready", "TERM"]))

        job = cluster.submit(STUBBORN)
        job.tell()
        cluster.row(f"{name}: scancel, TERM ignored", (job.end(), job.heard()),
                    ({"exit_code": 143, "told": 15, "signal": 9}, ["ready", "TERM"]))

        job = cluster.submit(LISTENS)
        job.tell("--signal=USR1")
        time.sleep(QUIET)
        cluster.row(f"{name}: scancel --signal=USR1", job.heard(), ["ready"])
        job.tell("--signal=USR1", "--batch")
        job.until(lambda: "USR1" in job.heard(), "it hears nothing")
        time.sleep(QUIET)
        cluster.row(f"{name}: scancel --signal=USR1 --batch", job.heard(), ["ready", "USR1"])
        job.tell("--signal=USR1", "--full")
        job.until(lambda: len(job.heard()) > 2, "it hears nothing")
        time.sleep(QUIET)
        cluster.row(f"{name}: scancel --signal=USR1 --full", job.heard(), ["ready", "USR1", "USR1"])
        job.tell("--signal=TERM", "--batch")
        cluster.row(f"{name}: scancel --signal=TERM --batch", (job.end(), job.heard()[3:]),
                    ({"exit_code": 143, "told": 15, "signal": None}, ["TERM"]))

        mark = f"sleep 98765.{os.getpid()}"
        job = cluster.submit(f"echo ready; exec {mark}")
        job.until(lambda: job.processes(mark.replace(" ", "\0")), "its program is not found")
        job.tell("--batch")
        cluster.row(f"{name}: scancel --batch kills the worker", job.end(), None)
        job.until(lambda: not job.processes(mark.replace(" ", "\0")), "its program outlives the worker")

        cluster.row(f"{name}: the time limit", (timed.end(), timed.heard()),
                    ({"exit_code": 143, "told": 15, "signal": None}, ["ready", "TERM"]))
        return 1 if cluster.failed else 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
