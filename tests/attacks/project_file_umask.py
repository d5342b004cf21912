"""A project file that others can write is used, or one that only its owner can write is not, under each umask."""

import grp
import os
import pwd
import shutil
import subprocess
import tempfile

import lib


def private(user):
    """Whether the primary group of a user is the user's alone."""
    group = grp.getgrgid(user.pw_gid)
    return (group.gr_name == user.pw_name and all(name == user.pw_name for name in group.gr_mem)
            and not any(other.pw_gid == user.pw_gid and other.pw_name != user.pw_name and other.pw_uid != 0
                        for other in pwd.getpwall()))


def attack(case):
    users = [case.user or pwd.getpwuid(os.geteuid())]
    if os.geteuid() == 0:
        users.append(pwd.getpwuid(0))
    failed = []
    for user in {user.pw_uid: user for user in users}.values():
        failed += of(case, user)
    return lib.broken("; ".join(failed)) if failed else None


def of(case, user):
    failed = []
    base = tempfile.mkdtemp(prefix="moorline-umask.", dir="/tmp")
    os.chown(base, user.pw_uid, user.pw_gid)
    become = {} if os.geteuid() != 0 else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    config = os.path.join(base, "home/.config/moorline/config.toml")

    def call(*argv, cwd=base, env=None):
        own = {"PATH": case.env["PATH"], "HOME": os.path.join(base, "home"), **(env or {})}
        return subprocess.run(argv, cwd=cwd, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False, **become)

    def expect(what, done, used, words=()):
        says = "images.analysis" in done.stdout
        if says != used or (done.returncode == 0) != used or any(word not in done.stderr for word in words):
            failed.append(f"{user.pw_name}, {what}: used={says}, exit {done.returncode}, {done.stderr.strip()}")

    def show(where, env=None):
        return call(case.moorline, "config", "show", cwd=where, env=env)

    try:
        call("mkdir", "-p", os.path.dirname(config))
        for umask in ["000", "002", "022", "077"]:
            where = os.path.join(base, "clone-" + umask)
            toml = "[images]\\nanalysis = \"r.example/a/b:c\"\\n"
            call("sh", "-c", f"umask {umask}; mkdir {where} && printf '{toml}' >{where}/moorline.toml")
            expect(f"umask {umask}", show(where), umask in ("022", "077") or umask == "002" and private(user))
        where = os.path.join(base, "clone-000")
        ci = {"GITLAB_CI": "true", "CI_PROJECT_DIR": where}
        done = show(where, ci)
        expect("umask 000 in a job of GitLab CI", done, True)
        if done.stderr.count("warning:") != 1:
            failed.append(f"{user.pw_name}: not one warning in CI: {done.stderr}")
        expect("umask 000 beside the checkout", show(where, {**ci, "CI_PROJECT_DIR": base + "/clone-022"}), False)
        expect("umask 000, the whole machine a checkout", show(where, {**ci, "CI_PROJECT_DIR": "/"}), False)
        expect("umask 000, no job", show(where, {"CI_PROJECT_DIR": where}), False)
        # only one of the two can be written
        for mode, file_mode in [(0o777, 0o644), (0o755, 0o666), (0o1777, 0o644)]:
            os.chmod(where, mode)
            os.chmod(where + "/moorline.toml", file_mode)
            expect(f"modes {mode:o} and {file_mode:o}", show(where), False, ["everybody may write it"])
        # a group of several; by name and by number
        shared = grp.getgrnam("users")
        os.chmod(where, 0o775)
        os.chmod(where + "/moorline.toml", 0o664)
        if os.geteuid() == 0:
            os.chown(where, user.pw_uid, shared.gr_gid)
            os.chown(where + "/moorline.toml", user.pw_uid, shared.gr_gid)
            expect("a shared group", show(where), False, ["trusted_groups"])
            for group in [f"'{shared.gr_name}'", f"'{shared.gr_gid}'"]:
                call("sh", "-c", f"echo \"trusted_groups = [{group}]\" >{config}")
                expect(f"the trusted group {group}", show(where), True)
            call("rm", config)
        if shutil.which("setfacl"):
            where = os.path.join(base, "clone-022")
            call("setfacl", "-m", "u:nobody:rw", where + "/moorline.toml")
            expect("an access list", show(where), False, ["access list"])
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return failed


lib.main(attack)
