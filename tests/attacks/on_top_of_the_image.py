"""What ran was not the image alone, and nobody is told: a file over the image's program, an option for the
runtime, another program with the runtime's name."""

import json
import os

import lib

FAKE = """#!/bin/sh
# takes apptainer's place: says that it ran the image, and runs what it likes
[ "$1" = --version ] && { echo "apptainer version 1.4.5"; exit 0; }
echo fake
"""


def said(case, env=None):
    """What the audit of the newest job says, as JSON."""
    done = case.call("moorline", "audit", "job", "last", "--json", env=env)
    if 'no job "last"' in done.stderr:  # the word is newer than 45f9350
        newest = done.stderr.rsplit("newest jobs are: ", 1)[1].split()[0].strip(",")
        done = case.call("moorline", "audit", "job", newest, "--json", env=env)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"audit job last --json: {done.returncode} {done.stdout}{done.stderr}") from None


def named(value, word):
    """Whether a word stands anywhere in a JSON value."""
    return word in json.dumps(value)


def attack(case):
    """a plain Match says that nothing lay over the image"""
    reached = []
    image = case.sif(files=[("/bin/tool", "#!/bin/sh\necho the image\n", 0o755)])
    other = case.write("other", "#!/bin/sh\necho not the image\n", 0o755)

    done = case.call("moorline", "run", "--runtime", "builtin", "--mount", f"{other}:/bin/tool", image, "--", "/bin/tool")
    if done.stdout.strip() != "not the image":
        raise RuntimeError(f"the mount did not work: {done.returncode} {done.stdout}{done.stderr}")
    audit = said(case)
    if audit.get("verdict") == "match" and not (named(audit, "/bin/tool") and "mount" in audit.get("qualified", [])):
        reached.append("a mount over /bin/tool")

    # through a link of the image the path is another one, and the file is the same
    linked = case.sif("linked.sif", files=[("/bin/tool", "#!/bin/sh\necho the image\n", 0o755)], links=[("/also", "/bin")])
    done = case.call("moorline", "run", "--runtime", "builtin", "--mount", f"{other}://also/./tool", linked, "--", "/bin/tool")
    if done.stdout.strip() != "not the image" and done.returncode == 0:
        raise RuntimeError(f"the mount did not work: {done.returncode} {done.stdout}{done.stderr}")
    audit = said(case)
    if done.returncode == 0 and audit.get("verdict") == "match" and "mount" not in audit.get("qualified", []):
        reached.append("a mount through a link of the image")

    # an option that the runtime ignores is no option: refused by name, before anything starts
    done = case.call("moorline", "run", "--runtime", "builtin", "--option", "--writable-tmpfs", image, "--", "/bin/tool")
    if done.returncode == 0 or "--writable-tmpfs" not in done.stderr:
        reached.append("an option that was ignored")

    fakes = case.make("fakes", 0o755)
    fake = case.write("fakes/apptainer", FAKE, 0o755)
    env = {"PATH": fakes + ":" + case.env["PATH"]}
    done = case.call("moorline", "run", image, "--", "/bin/tool", env=env)
    if done.stdout.strip() != "fake":
        raise RuntimeError(f"the fake did not run: {done.returncode} {done.stdout}{done.stderr}")
    audit = said(case, env)
    if audit.get("verdict") == "match" and not (
        named(audit, os.path.realpath(fake)) and "runtime-believed" in audit.get("qualified", [])
    ):
        reached.append("another program with apptainer's name")
    done = case.call("moorline", "run", "--runtime", "apptainer", "--option", "--fakeroot", "--mount", f"{other}:/bin/tool", image, "--", "/bin/tool", env=env)
    audit = said(case, env)
    if audit.get("verdict") == "match" and not {"mount", "option"} <= set(audit.get("qualified", [])):
        reached.append("an option and a mount for apptainer")
    return lib.broken("plain Match with " + ", ".join(reached)) if reached else None


if __name__ == "__main__":
    lib.main(attack)
