"""A job of the same user rewrites the unpacked image that the next job runs as a match."""
# Security review of 45f9350, item 4: (a) a runtime that binds the machine's /tmp, (b) a cache below
# /dev/shm, (c) a cache that did not exist yet when the first job started. squashfuse is kept away, so that
# images are unpacked. (a) needs no apptainer: a stand-in keeps its command line and binds with --bind.

import glob
import json
import os
import time

import lib

EVIL = "#!/bin/sh\necho evil\n"
GOOD = "#!/bin/sh\necho good\n"
# rewrites every cached /bin/tool that it can see; waits for the first to come
REWRITE = """
for i in $(%s); do
  for f in $(find %s -path '*/root/bin/tool' 2>/dev/null); do
    echo '#!/bin/sh' >"$f" && echo 'echo evil' >>"$f" && echo rewritten && exit 0
  done
  [ $i = 1 ] && touch /work_dir/looking
  sleep 1
done
echo nothing was seen
"""


def run(case, sif, *args, env=None, command=("tool",)):
    """The program without squashfuse: PATH has everything else."""
    return case.call("moorline", "run", "--runtime", "builtin", *args, sif, "--", *command, env=env)


def ran(case, done):
    """What a run printed, and what its receipt says of it."""
    receipts = glob.glob(os.path.join(case.home, ".local/state/moorline/jobs/*/control/receipt-*.json"))
    with open(max(receipts, key=os.path.getmtime)) as file:
        receipt = json.load(file)
    return done.stdout.strip(), receipt["evidence"]["grade"], receipt.get("rootfs"), receipt.get("notes")


def path_without_squashfuse(case):
    """A directory of links to the programs, without squashfuse."""
    folder = case.make("path")
    for place in ("/usr/bin", "/bin"):
        for name in os.listdir(place):
            link = os.path.join(folder, name)
            if not name.startswith(("squashfuse", "apptainer", "singularity")) and not os.path.lexists(link):
                os.symlink(os.path.join(place, name), link)
    case.env["PATH"] = folder


def judge(case, done, where):
    said, grade, rootfs, notes = ran(case, done)
    if said != "good" and grade != "none":
        return lib.broken(f"{where}: the next job ran {said!r} with the grade {grade} ({rootfs})")
    if said != "good":
        raise RuntimeError(f"{where}: {said!r} {grade} {rootfs} {notes} {done.stderr}")
    return None


def attack(case):
    """a shared tree is hidden from every container, never below /dev/shm, and looked at before it is used"""
    path_without_squashfuse(case)
    sif = case.sif(files=[("/bin/tool", GOOD, 0o755)])
    # the attack is on trees that jobs share, which is off by default
    shares = "[delivery]\nshared_trees = true\n"
    usual_config = case.write("usual.toml", shares, 0o600)

    # (b) below /dev/shm
    shm = f"/dev/shm/moorline-attack-{os.getpid()}"
    os.mkdir(shm, 0o700)
    case.own(shm)
    try:
        env = {"TMPDIR": shm}
        config = case.write("shm.toml", f'node_cache = "{shm}"\n{shares}', 0o600)
        for extra in (["--config", usual_config], ["--config", config]):
            run(case, sif, *extra, env=env)
            script = REWRITE % ("echo 2", shm)
            run(case, sif, *extra, env=env, command=("sh", "-c", script))
            reached = judge(case, run(case, sif, *extra, env=env), "(b) /dev/shm")
            if reached:
                return reached
    finally:
        case.call("rm", "-rf", shm)

    # (c) the cache comes after the first job's start; the job has the directory above it as a mount
    uid = case.user.pw_uid
    seconds = "echo 1 2 3 4 5 6 7 8 9 10 11 12"
    usual = f"/tmp/moorline-{uid}"
    if os.path.exists(usual):
        case.call("rm", "-rf", usual)
    named = case.make("node")
    # what the first job has as its cache, what the second has, and what the first mounts
    for what, first, second, above in [
        ("a configured cache", f"{named}/cache", f"{named}/cache", named),
        ("the usual place, which no configuration names", case.make("other"), "/tmp", "/tmp"),
    ]:
        first = case.write("first.toml", f'node_cache = "{first}"\n{shares}', 0o600)
        second = case.write("second.toml", f'node_cache = "{second}"\n{shares}', 0o600)
        work = case.make("work-" + what.split()[1])
        seen = "/above" if above == named else f"/above/moorline-{uid}"
        child = case.popen("moorline", "run", "--runtime", "builtin", "--config", first, "--mount", f"{above}:/above:rw", sif,
                           "--", "sh", "-c", REWRITE % (seconds, seen), cwd=work, stdout=lib.subprocess.PIPE,
                           stderr=lib.subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not os.path.exists(os.path.join(work, "looking")) and child.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError("the first job did not start")
            time.sleep(0.05)
        beside = run(case, sif, "--config", second)
        out, err = child.communicate(timeout=60)
        reached = judge(case, beside, f"(c) {what}, while the first runs") \
            or judge(case, run(case, sif, "--config", second), f"(c) {what}, after the first")
        if reached:
            return reached
        if "rewritten" in out:
            return lib.broken(f"(c) {what}: the first job wrote into a shared tree ({err})")

    # (a) a runtime that binds /tmp: what apptainer does, by its command line
    cache = case.make("a")
    config = case.write("a.toml", f'node_cache = "{cache}"\n{shares}', 0o600)
    run(case, sif, "--config", config)
    bin_dir = case.make("bin-apptainer")
    case.write("bin-apptainer/apptainer", """#!/bin/sh
# a stand-in: shows what apptainer would show at the paths below the machine's own
[ "$1" = --version ] && { echo apptainer version 1.4.5; exit 0; }
for word in "$@"; do printf '%s\\n' "$word"; done >"$HOME/argv"
exit 0
""", 0o755)
    env = {"PATH": bin_dir + ":" + case.env["PATH"]}
    done = case.call("moorline", "run", "--runtime", "apptainer", "--config", config, "--mount", f"{case.dir}:{case.dir}", sif,
                     "--", "true", env=env)
    with open(os.path.join(case.home, "argv")) as file:
        words = file.read().split("\n")
    for hidden in (f"{cache}/moorline-{uid}", f"/tmp/moorline-{uid}"):
        if not any(word.endswith(f":{hidden}:ro") and "/empty" in word for word in words):
            return lib.broken(f"(a) {hidden} is not covered in apptainer's container ({done.stderr})")
    return None


lib.main(attack)
