"""A job that reaches the store lets one image's mapping name another image's SIF: Match, measured."""
# Security review of 45f9350, item 9.

import glob
import json
import os

import lib


def attack(case):
    """a mapping is used only when the ledger has this user's own record of it"""
    good = "docker-archive:" + case.archive("good.tar", files=[("/bin/tool", "#!/bin/sh\necho good\n", 0o755)])
    evil = "docker-archive:" + case.archive("evil.tar", files=[("/bin/tool", "#!/bin/sh\necho evil\n", 0o755)])
    for image in (good, evil):
        case.call("moorline", "convert", image, check=True)
    pins = glob.glob(os.path.join(case.home, ".cache/moorline/pins/*/*.json"))
    if len(pins) != 2:
        raise RuntimeError(f"the store looks different: {pins}")

    def run():
        done = case.call("moorline", "run", "--runtime", "builtin", good, "--", "tool")
        return done.stdout.strip(), done.stderr.strip()

    said, told = run()
    if said != "good":
        raise RuntimeError(told)
    read = []
    for path in pins:
        with open(path) as file:
            read.append(json.load(file))
    # which is which: the good one is the one that `convert` names
    path = case.call("moorline", "convert", good, check=True).stdout.strip()
    at = next(n for n, mapping in enumerate(read) if mapping["sif"].split(":")[1] in path)
    other = read[1 - at]
    for keep in (False, True):
        swapped = {**read[at], "sif": other["sif"], "size": other["size"]}
        if "seen" in other:
            swapped["seen"] = other["seen"]
        if keep:
            # as if somebody had signed it
            swapped["signed_by"] = "ed25519:" + "A" * 43 + "="
        os.remove(pins[at])
        with open(pins[at], "w") as file:
            json.dump(swapped, file)
        os.chmod(pins[at], 0o444)
        case.own(pins[at])
        said, told = run()
        if said != "good":
            job = told.split()[-1]
            verdict = case.call("moorline", "audit", "job", job).stdout.strip()
            return lib.broken(f"the good image's pin ran {said!r}: {verdict} {told}")
        if not keep and "record" not in told:
            return lib.broken(f"nothing was said of the mapping that was not believed: {told}")
    return None


lib.main(attack)
