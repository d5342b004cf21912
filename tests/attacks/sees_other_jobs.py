"""A job looks for another job's nonce, the ledger, the store and the credentials of its user.

Through a mount of the home directory, by running in it, through a second path to the same file system, and
through an overlay over it. With root at hand the last two are made; they need mounts.
"""

import os
import subprocess
import sys

import lib

LOOK = "find %s -name plan.json -o -name '*.jsonl' -o -name credentials.json -o -path '*/sifs/*.sif' 2>/dev/null"


def secrets(case):
    """What a user of Moorline has: an earlier job, a ledger, a store, credentials."""
    sif = case.sif()
    case.make("home/.config/moorline")
    case.write("home/.config/moorline/credentials.json", '{"secret": 1}', 0o600)
    case.call("moorline", "convert", "docker-archive:" + sif + ".tar", check=True)
    case.call("moorline", "run", sif, "--", "id", cwd=case.make("work"), check=True)
    return sif


def alias(case, name, *options):
    """The home directory once more: a bind mount, an overlay."""
    point = case.make(name)
    subprocess.run(["mount", *options, point], check=True)
    return point


def aliases(case):
    """Other paths to the same directories, which need mounts."""
    ways = []
    bound = alias(case, "users", "--bind", case.home)
    ways.append(("a bind mount elsewhere", ["--mount", f"{bound}:/seen"], "/seen", None))
    ways.append(("running in a bind mount", [], "/work_dir", bound))
    part = alias(case, "part", "--bind", f"{case.home}/.local/state/moorline")
    ways.append(("a bind mount of a part", ["--mount", f"{part}:/seen"], "/seen", None))
    control = alias(case, "inner", "--bind", f"{case.home}/.local/share/moorline/ledger")
    ways.append(("a bind mount of the ledger", ["--mount", f"{control}:/seen"], "/seen", None))
    outer = case.make("outer")
    subprocess.run(["mount", "--rbind", case.dir, outer], check=True)
    ways.append(("a bind mount of all of it", ["--mount", f"{outer}:/seen"], "/seen", None))
    for one in ("upper", "over"):
        case.make(one)
    layers = f"lowerdir={case.home},upperdir={case.dir}/upper,workdir={case.dir}/over"
    merged = alias(case, "merged", "-t", "overlay", "overlay", "-o", layers)
    ways.append(("an overlay", ["--mount", f"{merged}:/seen"], "/seen", None))
    ways.append(("an overlay of a part", ["--mount", f"{merged}/.local:/seen"], "/seen", None))
    return ways


def look(case, sif, ways):
    """Tries each way; None when nothing is seen."""
    for what, mounts, seen, cwd in ways:
        done = case.call("moorline", "run", *mounts, sif, "--", "sh", "-c", LOOK % seen, cwd=cwd or case.make("work"))
        found = [line for line in done.stdout.splitlines() if line.startswith("/")]
        if found:
            return lib.broken(f"{what} shows {len(found)} files, {found[0]} among them")
        refusable = "overlay" in what or "of the ledger" in what
        if done.returncode not in (0, 1) and not (refusable and "belongs to moorline" in done.stderr):
            return lib.broken(f"{what}: no job runs: {done.stderr.strip()[-300:]}")
    return None


def attack(case):
    sif = secrets(case)
    ways = [
        ("a mount of the home directory", ["--mount", f"{case.home}:/seen"], "/seen", None),
        ("a mount of the directory above", ["--mount", f"{case.dir}:/seen:ro"], "/seen", None),
        ("running in the home directory", [], "/work_dir", case.home),
        ("a mount of the jobs' parent", ["--mount", f"{case.home}/.local/state:/seen"], "/seen", None),
    ]
    reached = look(case, sif, ways)
    if reached is None and os.geteuid() == 0:
        try:
            reached = look(case, sif, aliases(case))
        finally:
            for name in ("merged", "outer", "inner", "part", "users"):
                subprocess.run(["umount", "-l", os.path.join(case.dir, name)], check=False)
    if reached is not None:
        return reached
    for name in ["state/moorline/jobs", "share/moorline/ledger"]:
        asked = f"{case.home}/.local/{name}:/seen"
        done = case.call("moorline", "run", "--mount", asked, sif, "--", "sh", "-c", LOOK % "/seen")
        if "/seen/" in done.stdout:
            return lib.broken(f"--mount {asked} shows it")
    return later(case, sif)


def later(case, sif):
    """A directory that is made while the job runs."""
    subprocess.run(["rm", "-r", f"{case.home}/.config/moorline"], check=True)
    script = "touch /work_dir/ready; while ! [ -e /work_dir/made ]; do sleep 0.02; done; " + LOOK % "/seen/.config"
    work = case.make("later")
    with case.popen("moorline", "run", "--mount", f"{case.home}:/seen", sif, "--", "sh", "-c", script,
                    cwd=work, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as job:
        while not os.path.exists(f"{work}/ready") and job.poll() is None:
            subprocess.run(["sleep", "0.05"], check=True)
        case.make("home/.config/moorline")
        case.write("home/.config/moorline/credentials.json", '{"secret": 2}', 0o600)
        case.write("later/made", "")
        out = job.communicate(timeout=60)[0]
    if "credentials.json" in out:
        return lib.broken("credentials that were made while the job ran are seen")
    return "nothing of the user's other jobs is seen"


if __name__ == "__main__":
    if os.geteuid() == 0 and "MOORLINE_OWN_MOUNTS" not in os.environ:
        os.environ["MOORLINE_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    lib.main(attack)
