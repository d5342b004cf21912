"""The store is full, and the advice is to change the place of the output."""
# Security review of 45f9350, item 21.

import os

import lib


def attack(case):
    """the hint frees space in the store or names another store"""
    archive = "docker-archive:" + case.archive()
    store = case.make("full")
    script = f"mount -t tmpfs -o size=200k,mode=0700 tmpfs {store} && exec \"$@\""
    for output in ([], ["-o", os.path.join(case.dir, "out.sif")]):
        done = case.call("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh",
                         case.moorline, "convert", archive, *output, env={"MOORLINE_CACHE": store})
        if "mount:" in done.stderr or "unshare:" in done.stderr:
            raise lib.Skip(f"no small file system can be made: {done.stderr.strip()}")
        if done.returncode == 0:
            raise RuntimeError("the image fits into 200 kB")
        told = done.stderr
        if done.returncode != 8:
            return lib.broken(f"a full store ends with {done.returncode}: {told.strip()}")
        hint = told.partition("hint:")[2]
        if not ("MOORLINE_CACHE" in hint or "cache prune" in hint):
            return lib.broken(f"the hint does not help the store: {told.strip()}")
        if "--output" in hint or "another place for" in hint:
            return lib.broken(f"the hint is about the output: {told.strip()}")
    return None


lib.main(attack)
