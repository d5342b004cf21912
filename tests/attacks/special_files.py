"""A pipe, a device, a link or a huge file stands where Moorline reads one that somebody else may have put there."""

import glob
import os
import resource
import shutil
import subprocess

import lib

# a program that keeps to its limits needs a small part of both
MOST_MEMORY = 3 << 30
MOST_SECONDS = 15
# each that hangs takes this long, so some are enough
ENOUGH = 8
CONFIG = "[gitlab]\nurl = 'https://127.0.0.1:1'\nregistry = '127.0.0.1:1'\n"
PROJECT = "[images]\nanalysis = '127.0.0.1:1/group/analysis:v1'\n"


def pipe(path):
    os.mkfifo(path)


def zero(path):
    os.symlink("/dev/zero", path)


def huge(path):
    with open(path, "wb") as out:
        out.truncate(1 << 40)


KINDS = {"a pipe": pipe, "a link to a device": zero, "a huge file": huge}


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def attack(case):
    case.make("home/.config/moorline")
    case.write("home/.config/moorline/config.toml", CONFIG)
    image = case.sif()
    done = case.call("moorline", "submit", "--runtime", "builtin", "--wait", image, "--", "/bin/sh", "-c", "echo ran",
                     check=True)
    job = done.stdout.split()[0]
    jobs = os.path.join(case.env["XDG_STATE_HOME"], "moorline/jobs", job)
    ledger = os.path.join(case.env["XDG_DATA_HOME"], "moorline/ledger")
    where = case.make("project")
    case.make("project/.git")

    def only(pattern):
        found = sorted(glob.glob(pattern))
        if not found:
            raise RuntimeError(f"there is no {pattern}")
        return found[0]

    def in_project(name):
        return os.path.join(where, name)

    digest = ("resolve", "--project", "group/project", "--digest-file")
    # the file, what reads it; a kind that is no attack there: a link that the user made is followed
    reads = [
        (in_project("moorline.toml"), ("resolve", "analysis"), ()),
        (in_project("moorline.lock"), ("lock", "--check"), ()),
        (in_project("digest"), (*digest, "digest"), ()),
        (in_project("job.toml"), ("submit", "-f", "job.toml"), ()),
        (in_project(".git/config"), ("resolve", "--ref", "main"), ()),
        (in_project("ca.pem"), ("--ca-file", "ca.pem", "resolve", "127.0.0.1:1/a/b:c"), ()),
        (in_project("secret"), ("resolve", "--credential-file", "secret", "127.0.0.1:1/a/b:c"), ()),
        (in_project("x.sif"), ("run", "./x.sif", "--", "true"), ("a huge file",)),
        (in_project("y.sif"), ("verify", "y.sif"), ("a huge file",)),
        (in_project("image.tar"), ("convert", "docker-archive:image.tar", "-o", "out.sif"), ("a huge file",)),
        (in_project("layout/index.json"), ("convert", "oci:layout", "-o", "out.sif"), ()),
        (in_project("other.toml"), ("--config", "other.toml", "config", "show"), ()),
        (os.path.join(case.env["XDG_CONFIG_HOME"], "moorline/config.toml"), ("config", "show"), ()),
        (os.path.join(case.home, ".docker/config.json"), ("auth-explain", "127.0.0.1:1/a/b:c"), ()),
        (os.path.join(case.env["XDG_CONFIG_HOME"], "moorline/credentials.json"), ("login", "--list"), ()),
        (only(jobs + "/control/receipt*.json"), ("audit", "job", job), ()),
        (only(ledger + "/personal/*.json"), ("audit", "job", job), ()),
        (only(ledger + "/*.jsonl"), ("audit", "verify"), ()),
        (os.path.join(jobs, "stdout"), ("logs", job), ("a huge file",)),
    ]
    worked = []
    for path, argv, allowed in reads:
        if len(worked) >= ENOUGH:
            worked.append("and perhaps more")
            break
        case.make(os.path.relpath(os.path.dirname(path), case.dir))
        for kind, make in KINDS.items():
            if kind in allowed:
                continue
            case.write("project/moorline.toml", PROJECT)
            kept = None
            if os.path.lexists(path):
                kept = path + ".kept"
                os.rename(path, kept)
            make(path)
            case.own(path)
            what = f"{kind} as {os.path.relpath(path, case.dir)}"
            try:
                done = case.call("moorline", *argv, cwd=where, timeout=MOST_SECONDS, preexec_fn=limits)
                if done.returncode < 0 or "memory allocation" in done.stderr or "out of memory" in done.stderr:
                    worked.append(what + " ate the memory")
            except subprocess.TimeoutExpired:
                worked.append(what + " hung")
            finally:
                os.remove(path)
                if kept:
                    os.rename(kept, path)
    shutil.rmtree(where, ignore_errors=True)
    return lib.broken("; ".join(worked)) if worked else None


lib.main(attack)
