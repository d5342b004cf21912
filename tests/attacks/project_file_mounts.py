"""A moorline.toml that somebody else wrote mounts the user's home, or is used although it is not the user's."""

import os
import pwd
import shutil
import subprocess
import tempfile

import lib

KEY = "PRIVATE-KEY-OF-THE-USER"


def project(case, name, toml, mode=0o755):
    directory = case.make(name, mode)
    case.write(f"{name}/moorline.toml", toml)
    return directory


def run(case, image, directory, script, *flags):
    return case.call("moorline", "run", "--runtime", "builtin", *flags, image, "--", "/bin/sh", "-c", script,
                     cwd=directory)


def attack(case):
    image = case.sif()
    ssh = case.make("home/.ssh")
    case.write("home/.ssh/id_rsa", KEY, 0o600)
    bashrc = case.write("home/.bashrc", "# mine\n")
    read = f"cat /stolen/.ssh/id_rsa /stolen/id_rsa {case.home}/.ssh/id_rsa; echo evil >>/stolen/.bashrc"

    # a clone of the user's own: the file is the user's, its words are not
    where = project(case, "clone", f'[submit]\nmounts = ["{case.home}:/stolen"]\n')
    done = run(case, image, where, read)
    if KEY in done.stdout:
        return lib.broken("the job read an ssh key of the user's home")
    if "evil" in open(bashrc, encoding="utf-8").read():
        return lib.broken("the job wrote into ~/.bashrc")
    if done.returncode != 12:
        return lib.broken(f"the mount was not refused: {done.returncode} {done.stderr}")

    # the same through a link in the repository, and through a path that leads upward
    where = project(case, "linked", f'[submit]\nmounts = ["{case.dir}/linked/data:/stolen"]\n')
    os.symlink(ssh, os.path.join(where, "data"))
    if KEY in run(case, image, where, read).stdout:
        return lib.broken("a link in the repository led the mount out of it")
    where = project(case, "relative", '[submit]\nmounts = ["data/key:/stolen"]\n')
    os.symlink(case.home, os.path.join(where, "data"))
    os.symlink(ssh, os.path.join(where, "key"))
    if KEY in run(case, image, where, read).stdout:
        return lib.broken("a relative mount left the repository")

    # below the project it is read-only
    where = project(case, "below", f'[submit]\nmounts = ["{case.dir}/below/sub:/sub"]\n')
    case.make("below/sub")
    case.write("below/sub/file", "mine")
    done = run(case, image, where, "cat /sub/file; echo evil >/sub/file")
    if open(os.path.join(where, "sub/file"), encoding="utf-8").read() != "mine":
        return lib.broken("a project's mount is writable without a word of the user")
    if "mine" not in done.stdout or "read-only" not in done.stderr:
        return lib.broken(f"an allowed mount is not shown or not said: {done.stdout}{done.stderr}")

    # a directory of the user that everybody can write
    open_to_all = project(case, "open", "[submit.env]\nPLANTED = '1'\n", 0o777)
    done = run(case, image, open_to_all, 'echo "planted=$PLANTED"')
    if "planted=1" in done.stdout or done.returncode != 12:
        return lib.broken("a project file in a directory that everybody can write was used")
    if os.geteuid() != 0:
        return None

    # another user's file in a sticky directory such as /tmp: not used, and it stops nothing
    shared = tempfile.mkdtemp(prefix="moorline-shared.", dir="/tmp")
    home = tempfile.mkdtemp(prefix="moorline-root.", dir="/tmp")
    try:
        os.chmod(shared, 0o1777)
        planted = os.path.join(shared, "moorline.toml")
        with open(planted, "w", encoding="utf-8") as out:
            out.write("[submit.env]\nPLANTED = '1'\n")
        nobody = pwd.getpwnam("nobody")
        os.chown(planted, nobody.pw_uid, nobody.pw_gid)
        done = run(case, image, shared, 'echo "planted=$PLANTED"')
        if "planted=1" in done.stdout:
            return lib.broken("a project file that another user left in a shared directory was used")
        if "planted=" not in done.stdout:
            return lib.broken(f"a file that another user planted stops the user's job: {done.stderr}")
        # root works in a user's directory
        where = project(case, "of-user", "[submit.env]\nPLANTED = '1'\n")
        done = subprocess.run(
            [case.moorline, "run", "--runtime", "builtin", image, "--", "/bin/sh", "-c", 'echo "planted=$PLANTED"'],
            cwd=where, env={"PATH": case.env["PATH"], "HOME": home}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=120, check=False)
        if "planted=1" in done.stdout:
            return lib.broken("root's job used the project file of an ordinary user")
        if "planted=" not in done.stdout:
            return lib.broken(f"a user's project file stops root's job: {done.stderr}")
    finally:
        shutil.rmtree(shared, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    return None


lib.main(attack)
