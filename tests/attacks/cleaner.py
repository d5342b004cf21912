"""An age-based cleaner of /tmp removes files of an unpacked image: later jobs run the damaged tree."""
# Field report of 45f9350, machines 2: mkosi#252, podman#10791. The cleaner is simulated: it removes what
# `tmpwatch` or `tmpreaper` would (files by age, directories when they are empty), without looking at locks.

import glob
import json
import os
import signal
import time

import lib

GOOD = "#!/bin/sh\ncat /etc/needed\n"


def receipts(case):
    found = glob.glob(os.path.join(case.home, ".local/state/moorline/jobs/*/control/receipt-*.json"))
    for path in sorted(found, key=os.path.getmtime):
        with open(path) as file:
            yield json.load(file)


def verdict(case):
    job = list(receipts(case))[-1]["job"]
    done = case.call("moorline", "--json", "audit", "job", job)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"verdict": done.stdout + done.stderr}


def attack(case):
    """a damaged tree is made again, and is never a match"""
    sif = case.sif(files=[("/bin/tool", GOOD, 0o755), ("/etc/needed", "good\n", 0o644), ("/opt/a/b/c", "x", 0o644)])
    case.env["PATH"] = "/nowhere"
    cache = case.make("cache")
    config = case.write("config.toml", f'node_cache = "{cache}"\n[delivery]\nshared_trees = true\n', 0o600)

    def run(*command):
        return case.call("moorline", "run", "--config", config, "--runtime", "builtin", sif, "--", *command)

    def entries():
        return [path for path in glob.glob(os.path.join(cache, "moorline-*", "*")) if os.path.isdir(os.path.join(path, "root"))]

    def sweep(paths):
        for path in paths:
            for entry in entries():
                at = os.path.join(entry, path)
                for file in glob.glob(at):
                    os.remove(file) if not os.path.isdir(file) else lib.shutil.rmtree(file)

    kinds = {
        "a file of the image": ["root/etc/needed"],
        "a directory of the image": ["root/opt/a"],
        "the mark": ["complete", "seal"],
        "the mark and a file": ["complete", "seal", "root/etc/needed"],
        "the tree, the mark stays": ["root"],
        "all files": ["root/etc/*", "root/bin/*", "root/opt/a", "complete", "seal"],
    }
    for what, paths in kinds.items():
        first = run("tool")
        if first.returncode != 0 or first.stdout != "good\n":
            raise RuntimeError(f"{what}: {first.stdout}{first.stderr}")
        if not entries():
            raise lib.Skip("the image was not unpacked")
        sweep(paths)
        done = run("tool")
        if done.returncode != 0 or done.stdout != "good\n":
            return lib.broken(f"{what} was removed, the next job ended with {done.returncode}: {done.stdout}{done.stderr}"
                              f" ({verdict(case).get('verdict')})")
    # while a program runs
    work = case.make("work")
    child = case.popen("moorline", "run", "--config", config, "--runtime", "builtin", sif, "--", "sh", "-c",
                       "touch ready; while [ ! -e done ]; do sleep 0.1; done; cat /etc/needed; exit 0", cwd=work,
                       stdout=lib.subprocess.PIPE, stderr=lib.subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not os.path.exists(os.path.join(work, "ready")):
        if time.monotonic() > deadline or child.poll() is not None:
            child.send_signal(signal.SIGTERM)
            raise RuntimeError(f"the job did not start: {child.communicate()}")
        time.sleep(0.05)
    sweep(["root/etc/needed"])
    case.write("work/done", "")
    out, err = child.communicate(timeout=60)
    grade = list(receipts(case))[-1]["evidence"]["grade"]
    if out != "good\n" and grade != "none":
        return lib.broken(f"removed while the program ran, and the grade is {grade} ({out!r}, {err})")
    said = verdict(case)
    if str(said.get("verdict", "")).lower() == "match":
        return lib.broken("removed while the program ran, and the verdict is a match")
    return None


lib.main(attack)
