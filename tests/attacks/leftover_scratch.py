"""A killed worker leaves a scratch directory with the job's files, for ever."""
# Security review of 45f9350, item 18.

import glob
import os
import signal
import time

import lib


def attack(case):
    """the next job removes what dead workers left, and nothing of the living"""
    sif = case.sif()
    case.env["PATH"] = "/nowhere"
    tmp = case.env["TMPDIR"]

    def scratches():
        return set(glob.glob(os.path.join(tmp, "moorline-job-*")) + glob.glob(os.path.join(tmp, "moorline-probe-*")))

    def start(name):
        work = case.make(name)
        child = case.popen("moorline", "run", "--runtime", "builtin", sif, "--", "sh", "-c",
                           "echo secret >/tmp/file; touch ready; sleep 60", cwd=work, start_new_session=True,
                           stdout=lib.subprocess.DEVNULL, stderr=lib.subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not os.path.exists(os.path.join(work, "ready")):
            if time.monotonic() > deadline or child.poll() is not None:
                raise RuntimeError("the job did not start")
            time.sleep(0.05)
        return child

    def kill(child):
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        # the container dies with its worker
        time.sleep(0.2)

    one = start("one")
    ones = scratches()
    if not any(os.path.exists(os.path.join(path, "tmp", "file")) for path in ones):
        raise RuntimeError(f"the scratch looks different: {ones}")
    two = start("two")
    twos = scratches() - ones
    try:
        kill(one)
        left = scratches() & ones
        if not left:
            raise lib.Skip("the killed worker left nothing")
        case.call("moorline", "run", "--runtime", "builtin", sif, "--", "sh", "-c", "true", check=True)
        stays = scratches() & ones
        if stays:
            return lib.broken(f"a killed worker's files stay after the next job: {sorted(stays)}")
        if not twos <= scratches():
            return lib.broken("the scratch of a running job was removed")
    finally:
        kill(two)
    return None


lib.main(attack)
