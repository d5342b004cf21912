"""A SIF of the store with one flipped byte is handed out with exit code 0."""
# Security review of 45f9350, item 15.

import glob
import hashlib
import os

import lib


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def attack(case):
    """a damaged image goes to the trash, is made again, and that is said"""
    archive = "docker-archive:" + case.archive()
    first = case.call("moorline", "convert", archive, check=True).stdout.strip()
    right = sha256(first)

    def flip():
        times = os.stat(first)
        os.chmod(first, 0o644)
        with open(first, "r+b") as file:
            file.seek(times.st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        os.chmod(first, 0o444)
        # whoever flips it may set the time back
        os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))

    out = os.path.join(case.dir, "out.sif")
    ways = {
        "convert -o": lambda: (case.call("moorline", "convert", archive, "-o", out), out),
        "convert -o --force": lambda: (case.call("moorline", "convert", archive, "-o", out, "--force"), out),
        "convert": lambda: (case.call("moorline", "convert", archive), first),
    }
    for what, way in ways.items():
        flip()
        done, path = way()
        if done.returncode != 0:
            return lib.broken(f"{what}: ended with {done.returncode}: {done.stderr.strip()}")
        if sha256(path) != right:
            return lib.broken(f"{what}: handed out a damaged SIF with exit code 0: {done.stderr.strip()}")
        if "damaged" not in done.stderr:
            return lib.broken(f"{what}: did not say that the store's file was damaged: {done.stderr.strip()}")
        if not glob.glob(os.path.join(case.home, ".cache/moorline/trash/damaged-*")):
            return lib.broken(f"{what}: the damaged file is not in the trash")
    flip()
    done = case.call("moorline", "run", "--runtime", "builtin", archive, "--", "sh", "-c", "echo ran")
    if (done.returncode, done.stdout) != (0, "ran\n"):
        return lib.broken(f"run: ended with {done.returncode}: {done.stderr.strip()}")
    return None


lib.main(attack)
