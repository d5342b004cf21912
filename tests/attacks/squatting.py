"""Another user takes the names that Moorline uses in /tmp, so that a user's jobs do not start."""
# Security review of 45f9350, item 12.

import os
import pwd

import lib


def attack(case):
    """a job takes a directory of its own and says so"""
    if os.geteuid() != 0:
        raise lib.Skip("needs root, to be two users")
    other = pwd.getpwnam("nobody")
    uid = case.user.pw_uid
    sif = case.sif()
    # images are unpacked only without squashfuse
    case.env["PATH"] = "/nowhere"
    work = case.make("work")
    shared = case.make("shared", 0o1777)
    plants = [
        ("a directory", lambda path: os.mkdir(path, 0o755)),
        ("an open directory", lambda path: (os.mkdir(path), os.chmod(path, 0o777))),
        ("a file", lambda path: open(path, "w").close()),
        ("a link", lambda path: os.symlink("/etc", path)),
        ("a pipe", os.mkfifo),
    ]
    for what, plant in plants:
        path = os.path.join(shared, f"moorline-{uid}")
        plant(path)
        os.chown(path, other.pw_uid, other.pw_gid, follow_symlinks=False)
        for config in ("", f'node_cache = "{shared}"\n'):
            file = case.write("config.toml", config, 0o600)
            # the engine's own place and the temporary directory
            job = case.call("moorline", "run", "--config", file, "--runtime", "builtin", sif, "--", "sh", "-c", "echo ran",
                            cwd=work, env={"TMPDIR": shared})
            if job.returncode != 0 or job.stdout != "ran\n":
                return lib.broken(f"{what}: the job ended with {job.returncode}: {job.stderr.strip()}")
        if os.path.isdir(path) and not os.path.islink(path) and os.listdir(path):
            return lib.broken(f"{what}: something was put into another user's directory")
        os.remove(path) if not os.path.isdir(path) or os.path.islink(path) else os.rmdir(path)
    return None


lib.main(attack)
