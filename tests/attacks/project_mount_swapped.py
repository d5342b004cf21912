"""A project's mount is a directory when the job is submitted, and a link to the user's keys when it starts."""
# Known rest of the security issue, item 2: a source that was resolved is opened later by its path.

import os

import lib

KEY = "PRIVATE-KEY-OF-THE-USER"


def attack(case):
    """a project's mount must still lie below the project, without a link, when the job starts"""
    image = case.sif()
    ssh = case.make("home/.ssh")
    case.write("home/.ssh/id_rsa", KEY, 0o600)
    where = case.make("project")
    data = case.make("project/data")
    case.write("project/data/id_rsa", "harmless")
    case.write("project/moorline.toml", f'[submit]\nmounts = ["{data}:/data"]\n')
    script = "cat /data/id_rsa"
    first = case.call("moorline", "submit", "--runtime", "builtin", "--wait", image, "--", "/bin/sh", "-c", script,
                      cwd=where)
    job = first.stdout.split()
    if first.returncode != 0 or not job:
        raise RuntimeError(f"the first job did not run: {first.stdout}{first.stderr}")
    # a job of this project puts a link there; the next start is long after the submission's look
    for swap in ("data", "project"):
        if swap == "data":
            os.rename(data, data + ".kept")
            os.symlink(ssh, data)
        else:
            os.remove(data)
            os.rename(data + ".kept", data)
            os.rename(data, where + "/deep")
            os.makedirs(where + "/real")
            os.rename(where + "/deep", where + "/real/data")
            os.symlink("real/data", data)
        again = case.call("moorline", "rerun", "--wait", job[0], cwd=where)
        last = again.stdout.split()
        said = case.call("moorline", "logs", last[0]).stdout if last else ""
        if KEY in said:
            return lib.broken("the job read the user's key through a link that was not there at its submission")
        if again.returncode == 0:
            return lib.broken(f"a link in the project's mount was followed: {said}")
        log = os.path.join(case.env["XDG_STATE_HOME"], "moorline/jobs", last[0], "stderr")
        with open(log, encoding="utf-8") as file:
            text = file.read()
        if "without a link" not in text:
            raise RuntimeError(f"it was refused for another reason: {text}")
    return None


lib.main(attack)
