"""A number that was issued again: `cancel` of a job whose supervisor died must not end a stranger's process.

The kernel issues the dead supervisor's process number to a process of another program, which makes a
session of that number. Before, every process of this session was taken for the job's and killed. The
number is issued again for real: in a pid namespace of its own, through /proc/sys/kernel/ns_last_pid.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402

LAST = "/proc/sys/kernel/ns_last_pid"


def until(what, look, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise RuntimeError(f"{what}: not within {seconds} s")


def reap():
    """As the namespace's first process: collects whoever has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def others():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def start_as(number):
    """A process with this number that leads a session of the same number, as a login shell does."""
    for _ in range(200):
        with open(LAST, "w") as last:
            last.write(str(number - 1))
        pid = os.fork()
        if pid == 0:
            os.setsid()
            # nothing of the job's: another directory, an environment of its own
            os.chdir("/")
            os.execve("/bin/sleep", ["sleep", "1000"], {"PATH": "/usr/bin:/bin"})
        if pid == number:
            return pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def inside(moorline, sif):
    """In the pid namespace, as its first process; prints one line of JSON for the outside."""

    def run(*args):
        # by hand: the module subprocess waits for its own child only, and `reap` may be faster
        out = os.path.join(os.environ["TMPDIR"], "said")
        with open(out, "wb") as file:
            pid = os.posix_spawn(moorline, [moorline, *args], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1),
                                               (os.POSIX_SPAWN_DUP2, file.fileno(), 2)])
        _, status = os.waitpid(pid, 0)
        with open(out, errors="replace") as file:
            return os.waitstatus_to_exitcode(status), file.read().strip()

    try:
        with open(LAST, "a"):
            pass
    except OSError as why:
        return {"skip": f"{LAST} cannot be written: {why}"}
    code, said = run("-q", "submit", sif, "--", "sleep", "600")
    if code != 0:
        return {"skip": f"no job can be submitted in a pid namespace here: {said}"}
    job = said.splitlines()[-1]
    record = os.path.join(os.environ["XDG_STATE_HOME"], "moorline/jobs", job, "control/local.json")

    def running():
        with open(record) as file:
            found = json.load(file)
        return found if found["phase"] == "running" else None

    supervisor = until("the running job", running)["supervisor"]["pid"]
    # all of the job goes, the supervisor first: it can record nothing
    os.kill(supervisor, signal.SIGKILL)

    def gone():
        for pid in others():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        return not others()

    until("the end of the job's processes", gone)
    stranger = start_as(supervisor)
    if stranger is None:
        return {"skip": "the number was not issued again"}
    until("the stranger's program", lambda: open(f"/proc/{stranger}/comm").read() == "sleep\n")
    status = run("status", job)
    cancel = run("cancel", job)
    reaped, how = os.waitpid(stranger, os.WNOHANG)
    killed = reaped == stranger
    if not killed:
        os.kill(stranger, signal.SIGKILL)
    return {"killed": killed, "how": how, "status": status, "cancel": cancel, "number": supervisor}


def attack(case):
    """the stranger that got the dead supervisor's number lives, and the job is shown as ended"""
    sif = case.sif()
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    probe = case.call(*namespace, "true")
    if probe.returncode != 0:
        raise lib.Skip(f"no pid namespace can be made here: {probe.stderr.strip()}")
    # both where the ordinary user can read them
    here = os.path.dirname(os.path.abspath(__file__))
    for name in ["lib.py", "pid_reuse.py"]:
        with open(os.path.join(here, name)) as source:
            case.write(name, source.read())
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    said = case.call(*namespace, python, os.path.join(case.dir, "pid_reuse.py"), "--inside", case.moorline, sif)
    if said.returncode != 0:
        raise RuntimeError(said.stderr)
    answer = json.loads(said.stdout.splitlines()[-1])
    if "skip" in answer:
        raise lib.Skip(answer["skip"])
    if answer["killed"]:
        return lib.broken(f"cancel killed process {answer['number']}, a stranger's: {answer['cancel'][1]}")
    if "still run" in answer["status"][1]:
        return lib.broken(f"the stranger is taken for the job's: {answer['status'][1]}")
    return None


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        # whoever loses its parent falls to this process, as to init
        ctypes.CDLL(None).prctl(36, 1)
        print(json.dumps(inside(*sys.argv[2:])))
    else:
        lib.main(attack)
