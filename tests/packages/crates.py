#!/usr/bin/env python3
"""Compares the crates that a program tells (cargo-auditable) with the SBOM of its release.

    crates.py SBOM.cdx.json PROGRAM...

The section .dep-v0 of a program is JSON, compressed by zlib. The standard library and readelf only.
"""

import json
import re
import subprocess
import sys
import zlib


def told(program):
    table = subprocess.run(["readelf", "--sections", "--wide", program], check=True, capture_output=True, text=True).stdout
    place = re.search(r"\.dep-v0\s+\S+\s+[0-9a-f]+\s+([0-9a-f]+)\s+([0-9a-f]+)", table)
    if not place:
        sys.exit("%s tells no crates" % program)
    offset, size = (int(number, 16) for number in place.groups())
    with open(program, "rb") as data:
        data.seek(offset)
        return json.loads(zlib.decompress(data.read(size)))["packages"]


def main():
    sbom, *programs = sys.argv[1:]
    with open(sbom) as document:
        bom = json.load(document)
    assert bom["bomFormat"] == "CycloneDX", bom["bomFormat"]
    listed = {(part["name"], part["version"]) for part in bom["components"]}
    main_part = bom["metadata"]["component"]
    listed.add((main_part["name"], main_part["version"]))
    for program in programs:
        # crates of build scripts and macros are not in the program
        crates = {(crate["name"], crate["version"]) for crate in told(program) if crate.get("kind") != "build"}
        missing = sorted(crates - listed)
        print("%s: %d crates, %d in the SBOM" % (program, len(crates), len(listed)))
        if len(crates) < 100 or missing:
            sys.exit("%s: not in the SBOM: %s" % (program, missing))


main()
