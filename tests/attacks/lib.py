"""What the attacks share: a small image, a private home, the program under attack.

The standard library only. An attack is a file `NAME.py` beside this one: its docstring says in one
line what is attacked, and `lib.main(attack)` calls `attack(case)` and turns what it returns or raises
into one line and an exit status:

    HELD     0   the attack was tried and failed
    BROKEN   1   the attack worked: `return lib.broken("...")`
    SKIPPED  77  this machine cannot show it: `raise lib.Skip("...")`

    python3 tests/attacks/NAME.py MOORLINE      or: tests/attacks/run MOORLINE [NAME...]
"""

import io
import json
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile

# programs of this machine that the image holds, with the libraries that they need
PROGRAMS = ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/sleep", "/bin/touch", "/bin/mkdir", "/bin/rm", "/bin/ln",
            "/bin/cp", "/bin/mv", "/bin/chmod", "/usr/bin/id", "/usr/bin/env", "/usr/bin/stat", "/usr/bin/find",
            "/bin/grep", "/usr/bin/tr", "/usr/bin/head", "/bin/kill", "/bin/stty"]


class Skip(Exception):
    """This machine cannot show the attack."""


class broken(str):  # noqa: N801  (reads as a word: return broken("..."))
    """What the attack reached."""


class Case:
    """One attack's surroundings: everything below `self.dir`, which the attacker's user owns."""

    def __init__(self, moorline, directory, user=None):
        self.dir = directory
        self.user = user  # a pwd entry, or None for the caller
        self.moorline = os.path.join(directory, "bin", "moorline")
        os.makedirs(os.path.dirname(self.moorline))
        shutil.copy(moorline, self.moorline)
        os.chmod(self.moorline, 0o755)
        worker = os.path.join(os.path.dirname(os.path.abspath(moorline)), "moorline-worker")
        if os.path.exists(worker):
            shutil.copy(worker, os.path.dirname(self.moorline))
        self.home = self.make("home")
        self.env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.make("home/.config"),
            "XDG_CACHE_HOME": self.make("home/.cache"),
            "XDG_STATE_HOME": self.make("home/.local/state"),
            "XDG_DATA_HOME": self.make("home/.local/share"),
            "TMPDIR": self.make("tmp"),
            "LANG": "C.UTF-8",
        }

    def make(self, name, mode=0o700):
        """A directory below the case's own, which belongs to its user."""
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        self.own(path)
        return path

    def write(self, name, content, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        self.own(path)
        return path

    def own(self, path):
        if self.user and os.geteuid() == 0:
            os.chown(path, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def popen(self, *args, cwd=None, env=None, **kwargs):
        """Starts a program as the case's user; the first argument may be "moorline"."""
        argv = [self.moorline if args[0] == "moorline" else args[0], *args[1:]]
        if self.user and os.geteuid() == 0:
            kwargs.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        return subprocess.Popen(argv, cwd=cwd or self.dir, env={**self.env, **(env or {})}, **kwargs)

    def call(self, *args, timeout=120, check=False, **kwargs):
        """The same to its end: a CompletedProcess with text."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        with self.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape",
                        **kwargs) as child:
            try:
                out, err = child.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
        if check and child.returncode != 0:
            raise RuntimeError(f"{args} ended with {child.returncode}: {out}{err}")
        return subprocess.CompletedProcess(args, child.returncode, out, err)

    def archive(self, name="image.tar", files=(), links=(), env=(), programs=PROGRAMS):
        """A docker archive of an image with this machine's programs: its path.

        `files` are (path, bytes or text, mode), `links` are (path, target)."""
        layer = io.BytesIO()
        have = set()
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            def directory(path):
                if path in ("", "/") or path in have:
                    return
                directory(os.path.dirname(path))
                have.add(path)
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)

            def file(path, data, mode):
                if path in have:
                    return
                directory(os.path.dirname(path))
                have.add(path)
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(data), mode
                tar.addfile(entry, io.BytesIO(data))

            for path, data, mode in files:
                file(path, data if isinstance(data, bytes) else data.encode(), mode)
            for path, target in links:
                directory(os.path.dirname(path))
                have.add(path)
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
            for program in programs:
                for path in [program, *libraries(program)]:
                    if os.path.exists(path):
                        with open(path, "rb") as source:
                            file(path, source.read(), 0o755)
            for path in ["/etc", "/tmp", "/work_dir", "/opt"]:
                directory(path)
            file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        layer = layer.getvalue()
        config = json.dumps({
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *env], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }).encode()
        configured = hashlib.sha256(config).hexdigest() + ".json"
        manifest = json.dumps([{"Config": configured, "RepoTags": ["attack:latest"], "Layers": ["layer.tar"]}]).encode()
        path = os.path.join(self.dir, name)
        with tarfile.open(path, "w") as tar:
            for member, data in [(configured, config), ("layer.tar", layer), ("manifest.json", manifest)]:
                entry = tarfile.TarInfo(member)
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
        self.own(path)
        return path

    def sif(self, name="image.sif", **image):
        """The same as a SIF that the program under attack made."""
        archive = self.archive(name + ".tar", **image)
        to = os.path.join(self.dir, name)
        self.call("moorline", "convert", "docker-archive:" + archive, "-o", to, check=True)
        return to


def libraries(program):
    """The shared libraries that a program of this machine needs."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [word for word in listed.split() if word.startswith("/")]


def ordinary_user():
    """The pwd entry of the tests' ordinary user, whom root can become; the caller's own else."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(os.environ.get("MOORLINE_TEST_USER", "moorline-test"))
    except KeyError:
        raise Skip("there is no ordinary user; tests/run makes one") from None


def main(attack, user=ordinary_user):
    """Runs one attack; `user=None` means as the caller."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} MOORLINE")
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    directory = tempfile.mkdtemp(prefix="moorline-attack.", dir="/tmp")
    try:
        who = user() if user else None
        os.chmod(directory, 0o755)
        if who and os.geteuid() == 0:
            os.chown(directory, who.pw_uid, who.pw_gid)
        reached = attack(Case(sys.argv[1], directory, who))
        if isinstance(reached, broken):
            print(f"BROKEN: {name}: {reached}")
            sys.exit(1)
        print(f"HELD: {name}: {reached or attack.__doc__ or ''}".rstrip(": "))
    except Skip as why:
        print(f"SKIPPED: {name}: {why}")
        sys.exit(77)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
